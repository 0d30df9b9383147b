# TensorRT, or TensorRT-RTX for bundles that are for it. Both are linked; JetPack and the packages of a distribution put
# them where they are found. -DTENSORRT_ROOT and -DCUDA_ROOT name other places.
enable_language(CXX)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)

set(TENSORRT_ROOT "" CACHE PATH "folder with include/NvInferRuntime.h")
set(CUDA_ROOT "/usr/local/cuda" CACHE PATH "folder with include/cuda_runtime_api.h")

file(STRINGS selftest.conf is_rtx REGEX "^runtime tensorrt-rtx$")
if(is_rtx)
  set(tensorrt_names tensorrt_rtx)
else()
  set(tensorrt_names nvinfer)
endif()

find_path(TENSORRT_INCLUDE_DIR NvInferRuntime.h HINTS "${TENSORRT_ROOT}/include" REQUIRED)
find_library(TENSORRT_LIBRARY ${tensorrt_names} HINTS "${TENSORRT_ROOT}/lib" "${TENSORRT_ROOT}/lib64" REQUIRED)
find_library(TENSORRT_PLUGINS nvinfer_plugin HINTS "${TENSORRT_ROOT}/lib" "${TENSORRT_ROOT}/lib64")
find_path(CUDA_INCLUDE_DIR cuda_runtime_api.h HINTS "${CUDA_ROOT}/include" REQUIRED)
find_library(CUDA_LIBRARY cudart HINTS "${CUDA_ROOT}/lib64" "${CUDA_ROOT}/lib" REQUIRED)

add_library(runtime STATIC runtime_tensorrt.cpp)
target_include_directories(runtime SYSTEM PRIVATE "${TENSORRT_INCLUDE_DIR}" "${CUDA_INCLUDE_DIR}")
target_link_libraries(runtime PRIVATE "${TENSORRT_LIBRARY}" "${CUDA_LIBRARY}")
if(is_rtx)
  target_compile_definitions(runtime PRIVATE EDGETOOL_TENSORRT_RTX)
elseif(TENSORRT_PLUGINS)
  target_compile_definitions(runtime PRIVATE EDGETOOL_TENSORRT_PLUGINS)
  target_link_libraries(runtime PRIVATE "${TENSORRT_PLUGINS}")
endif()
