# ONNX Runtime: its library is loaded when the self-test runs, so nothing of it is needed to compile.

set(ONNXRUNTIME_INCLUDE_DIR "" CACHE PATH "folder of onnxruntime_c_api.h, to compile with the official header")

add_library(runtime STATIC runtime_onnxruntime.c)
target_link_libraries(runtime PRIVATE ${CMAKE_DL_LIBS})
if(ONNXRUNTIME_INCLUDE_DIR)
  target_include_directories(runtime SYSTEM PRIVATE "${ONNXRUNTIME_INCLUDE_DIR}")
  target_compile_definitions(runtime PRIVATE EDGETOOL_ORT_HEADER)
endif()
