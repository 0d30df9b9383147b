# OpenVINO through its C API. -DOpenVINO_DIR names the folder of OpenVINOConfig.cmake: of an installation, or of the wheel
# (`python -c "import openvino, pathlib; print(pathlib.Path(openvino.__file__).parent / 'cmake')"`).
find_package(OpenVINO REQUIRED COMPONENTS Runtime)

add_library(runtime STATIC runtime_openvino.c)
target_link_libraries(runtime PUBLIC openvino::runtime::c)
