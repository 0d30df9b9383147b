# What an inference's time depends on: lines KEY=VALUE. Reads, and changes nothing.
if command -v nvpmodel >/dev/null; then
    echo "power_mode=$(nvpmodel -q 2>/dev/null </dev/null | sed -n 's/^.*Power Mode: *//p' | head -n 1)"
fi
for zone in /sys/class/thermal/thermal_zone*; do
    [ -r "$zone/temp" ] && echo "temperature=$(cat "$zone/temp" 2>/dev/null)"
done
for clock in /sys/class/devfreq/*gpu*/cur_freq /sys/class/devfreq/*.g[pv]*/cur_freq /sys/class/devfreq/*.ga10b/cur_freq; do
    [ -r "$clock" ] && echo "clock_hz=gpu $(first "$clock")"
done
cpu=/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq
[ -r "$cpu" ] && echo "clock_khz=cpu $(first "$cpu")"
if command -v nvidia-smi >/dev/null; then
    fields=name,compute_cap,driver_version,temperature.gpu,clocks.sm
    cards=$(nvidia-smi --query-gpu=$fields --format=csv,noheader,nounits 2>/dev/null </dev/null) &&
        echo "smi=$(echo "$cards" | head -n 1)"
fi
wait # for what the probe started on the side
exit 0
