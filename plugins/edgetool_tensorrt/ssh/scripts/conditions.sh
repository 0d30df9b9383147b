# What an inference's time depends on: lines KEY=VALUE. Reads, and changes nothing.
first() { # the first line of a file, without NULs
    [ -r "$1" ] && tr -d '\000' 2>/dev/null <"$1" | head -n 1
}

if command -v nvpmodel >/dev/null; then
    echo "power_mode=$(nvpmodel -q 2>/dev/null </dev/null | sed -n 's/^.*Power Mode: *//p' | head -n 1)"
fi
for zone in /sys/class/thermal/thermal_zone*; do
    [ -r "$zone/temp" ] && echo "temperature=$(cat "$zone/temp" 2>/dev/null)"
done
for clock in /sys/class/devfreq/*gpu*/cur_freq /sys/class/devfreq/*.g[pv]*/cur_freq /sys/class/devfreq/*.ga10b/cur_freq; do
    [ -r "$clock" ] && echo "clock_hz=gpu $(first "$clock")"
done
for clock in /sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq; do
    [ -r "$clock" ] && echo "clock_khz=cpu $(first "$clock")"
done
if command -v nvidia-smi >/dev/null; then
    echo "smi_now=$(nvidia-smi --query-gpu=temperature.gpu,clocks.sm,clocks.mem --format=csv,noheader,nounits 2>/dev/null </dev/null | head -n 1)"
fi
