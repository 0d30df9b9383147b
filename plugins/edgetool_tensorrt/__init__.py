"""TensorRT and TensorRT-RTX engines: built here, on the device by ssh, or left to the device as a kit."""
