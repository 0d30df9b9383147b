"""OpenVINO: Intel CPU, GPU, NPU, and FPGA through HETERO."""
