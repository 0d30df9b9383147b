/* The part of ONNX Runtime's C API that the self-test calls, for machines that have the library and not its headers.
 *
 * OrtApi is a table of functions to which releases only ever append, so that a place in it never changes. The numbers
 * are those places; what lies between is skipped. With -DONNXRUNTIME_INCLUDE_DIR the official header takes this one's
 * place.
 */
#ifndef EDGETOOL_ORT_TABLE_H
#define EDGETOOL_ORT_TABLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct OrtStatus OrtStatus;
typedef struct OrtEnv OrtEnv;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtValue OrtValue;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;

typedef enum {
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED = 0,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 = 2,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 = 3,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16 = 4,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16 = 5,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32 = 6,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 = 7,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL = 9,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 = 10,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE = 11,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32 = 12,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64 = 13,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16 = 16
} ONNXTensorElementDataType;

typedef enum { ORT_LOGGING_LEVEL_FATAL = 4 } OrtLoggingLevel;

typedef enum {
    ORT_DISABLE_ALL = 0,
    ORT_ENABLE_BASIC = 1,
    ORT_ENABLE_EXTENDED = 2,
    ORT_ENABLE_ALL = 99
} GraphOptimizationLevel;

typedef enum { ORT_SEQUENTIAL = 0, ORT_PARALLEL = 1 } ExecutionMode;
typedef enum { OrtArenaAllocator = 1 } OrtAllocatorType;
typedef enum { OrtMemTypeDefault = 0 } OrtMemType;

typedef void (*OrtSkipped)(void);

/* Functions that return a status return NULL where all went well. */
typedef struct {
    OrtSkipped skipped_0[2];
    const char *(*GetErrorMessage)(const OrtStatus *status);                          /* 2 */
    OrtStatus *(*CreateEnv)(OrtLoggingLevel level, const char *log_id, OrtEnv **env); /* 3 */
    OrtSkipped skipped_4[3];
    OrtStatus *(*CreateSession)(const OrtEnv *env, const char *path, const OrtSessionOptions *options, /* 7 */
                                OrtSession **session);
    OrtSkipped skipped_8[1];
    OrtStatus *(*Run)(OrtSession *session, const OrtRunOptions *options, const char *const *input_names, /* 9 */
                      const OrtValue *const *inputs, size_t input_count, const char *const *output_names,
                      size_t output_count, OrtValue **outputs);
    OrtStatus *(*CreateSessionOptions)(OrtSessionOptions **options); /* 10 */
    OrtSkipped skipped_11[2];
    OrtStatus *(*SetSessionExecutionMode)(OrtSessionOptions *options, ExecutionMode mode); /* 13 */
    OrtSkipped skipped_14[8];
    OrtStatus *(*SetSessionLogSeverityLevel)(OrtSessionOptions *options, int level);                          /* 22 */
    OrtStatus *(*SetSessionGraphOptimizationLevel)(OrtSessionOptions *options, GraphOptimizationLevel level); /* 23 */
    OrtStatus *(*SetIntraOpNumThreads)(OrtSessionOptions *options, int threads);                              /* 24 */
    OrtStatus *(*SetInterOpNumThreads)(OrtSessionOptions *options, int threads);                              /* 25 */
    OrtSkipped skipped_26[23];
    OrtStatus *(*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo *info, void *data, size_t bytes, /* 49 */
                                                 const int64_t *shape, size_t rank, ONNXTensorElementDataType type,
                                                 OrtValue **value);
    OrtSkipped skipped_50[1];
    OrtStatus *(*GetTensorMutableData)(OrtValue *value, void **data); /* 51 */
    OrtSkipped skipped_52[8];
    OrtStatus *(*GetTensorElementType)(const OrtTensorTypeAndShapeInfo *info, ONNXTensorElementDataType *type); /* 60 */
    OrtStatus *(*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo *info, size_t *rank);                      /* 61 */
    OrtStatus *(*GetDimensions)(const OrtTensorTypeAndShapeInfo *info, int64_t *sizes, size_t rank);            /* 62 */
    OrtSkipped skipped_63[2];
    OrtStatus *(*GetTensorTypeAndShape)(const OrtValue *value, OrtTensorTypeAndShapeInfo **info); /* 65 */
    OrtSkipped skipped_66[3];
    OrtStatus *(*CreateCpuMemoryInfo)(OrtAllocatorType allocator, OrtMemType type, OrtMemoryInfo **info); /* 69 */
    OrtSkipped skipped_70[22];
    void (*ReleaseEnv)(OrtEnv *env);                /* 92 */
    void (*ReleaseStatus)(OrtStatus *status);       /* 93 */
    void (*ReleaseMemoryInfo)(OrtMemoryInfo *info); /* 94 */
    void (*ReleaseSession)(OrtSession *session);    /* 95 */
    void (*ReleaseValue)(OrtValue *value);          /* 96 */
    OrtSkipped skipped_97[2];
    void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo *info); /* 99 */
    void (*ReleaseSessionOptions)(OrtSessionOptions *options);              /* 100 */
    OrtSkipped skipped_101[29];
    OrtStatus *(*AddSessionConfigEntry)(OrtSessionOptions *options, const char *key, const char *value); /* 130 */
    OrtSkipped skipped_131[85];
    OrtStatus *(*SessionOptionsAppendExecutionProvider)(OrtSessionOptions *options, const char *name, /* 216 */
                                                        const char *const *keys, const char *const *values,
                                                        size_t count);
} OrtApi;

typedef struct {
    const OrtApi *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
} OrtApiBase;

#define ORT_PLACE(function, place)                                                                                     \
    _Static_assert(offsetof(OrtApi, function) == (place) * sizeof(OrtSkipped), #function " is out of place")
ORT_PLACE(GetErrorMessage, 2);
ORT_PLACE(CreateSession, 7);
ORT_PLACE(Run, 9);
ORT_PLACE(SetSessionExecutionMode, 13);
ORT_PLACE(SetInterOpNumThreads, 25);
ORT_PLACE(CreateTensorWithDataAsOrtValue, 49);
ORT_PLACE(GetTensorMutableData, 51);
ORT_PLACE(GetDimensions, 62);
ORT_PLACE(GetTensorTypeAndShape, 65);
ORT_PLACE(CreateCpuMemoryInfo, 69);
ORT_PLACE(ReleaseValue, 96);
ORT_PLACE(ReleaseSessionOptions, 100);
ORT_PLACE(AddSessionConfigEntry, 130);
ORT_PLACE(SessionOptionsAppendExecutionProvider, 216);

#endif
