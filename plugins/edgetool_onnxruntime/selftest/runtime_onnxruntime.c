/* ONNX Runtime through its C API, loaded when the self-test runs: one program for whatever version the device has. */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include "runtime.h"

#ifdef EDGETOOL_ORT_HEADER
#include <onnxruntime_c_api.h>
#else
#include "ort_table.h"
#endif

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* The oldest API with all that is called here; ONNX Runtime 1.12 has it. */
enum { API_VERSION = 12, MAX_PROVIDER_OPTIONS = 64 };

const char *const RUNTIME_NAME = "onnxruntime";

struct runtime {
    void *library;
    const char *version;
    const OrtApi *api;
    OrtEnv *env;
    OrtMemoryInfo *memory;
    OrtSession *session;
    OrtValue **inputs; /* of the call that is running */
    size_t input_count;
    OrtValue **outputs; /* of the latest call: what it gave lies in them */
    size_t output_count;
};

static const ONNXTensorElementDataType TYPES[DTYPE_COUNT] = {
    [DTYPE_BOOL] = ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,         [DTYPE_INT8] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
    [DTYPE_INT16] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,       [DTYPE_INT32] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
    [DTYPE_INT64] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,       [DTYPE_UINT8] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
    [DTYPE_UINT16] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16,     [DTYPE_UINT32] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
    [DTYPE_UINT64] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64,     [DTYPE_FLOAT16] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
    [DTYPE_BFLOAT16] = ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, [DTYPE_FLOAT32] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
    [DTYPE_FLOAT64] = ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
};

/* Takes the status; false and ONNX Runtime's own words where it is one. */
static bool is_fine(const OrtApi *api, OrtStatus *status, const char *what, struct failure *failure)
{
    if (!status) {
        return true;
    }
    (void)fail(failure, "%s: %s", what, api->GetErrorMessage(status));
    api->ReleaseStatus(status);
    return false;
}

static bool load_library(struct runtime *runtime, const char *path, struct failure *failure)
{
    const char *const usual[] = {"libonnxruntime.so.1", "libonnxruntime.so"};
    runtime->library = dlopen(path ? path : usual[0], RTLD_NOW | RTLD_LOCAL);
    if (!runtime->library && !path) {
        runtime->library = dlopen(usual[1], RTLD_NOW | RTLD_LOCAL);
    }
    if (!runtime->library) {
        return fail(failure, "ONNX Runtime cannot be loaded: %s%s", dlerror(), path ? "" : "; name it by --library");
    }
    /* ISO C knows no way from an object pointer to a function; POSIX says that the bits are the same. */
    const OrtApiBase *(*get_base)(void) = NULL;
    void *symbol = dlsym(runtime->library, "OrtGetApiBase");
    if (!symbol) {
        return fail(failure, "%s is not ONNX Runtime", path ? path : "the library");
    }
    memcpy(&get_base, &symbol, sizeof get_base);
    runtime->version = get_base()->GetVersionString();
    runtime->api = get_base()->GetApi(API_VERSION);
    return runtime->api ? true : fail(failure, "ONNX Runtime %s is older than 1.12", runtime->version);
}

static bool set_level(const OrtApi *api, OrtSessionOptions *options, const char *value, struct failure *failure)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {{"disabled", ORT_DISABLE_ALL},
                  {"basic", ORT_ENABLE_BASIC},
                  {"extended", ORT_ENABLE_EXTENDED},
                  {"layout", 3}, /* ORT_ENABLE_LAYOUT, since 1.23 */
                  {"all", ORT_ENABLE_ALL}};
    for (size_t index = 0; index < sizeof levels / sizeof levels[0]; index++) {
        if (strcmp(levels[index].name, value) == 0) {
            const GraphOptimizationLevel level = (GraphOptimizationLevel)levels[index].level;
            return is_fine(api, api->SetSessionGraphOptimizationLevel(options, level), "graph optimization", failure);
        }
    }
    return fail(failure, "'%s' is no level of graph optimization", value);
}

/* KEY=VALUE into its parts; the key is to be freed. */
static char *split_pair(const char *text, const char **value)
{
    const char *sign = strchr(text, '=');
    const size_t length = sign ? (size_t)(sign - text) : 0;
    char *key = sign ? malloc(length + 1) : NULL;
    if (key) {
        memcpy(key, text, length);
        key[length] = '\0';
        *value = sign + 1;
    }
    return key;
}

static bool set_entry(const OrtApi *api, OrtSessionOptions *options, const char *text, struct failure *failure)
{
    const char *value = NULL;
    char *key = split_pair(text, &value);
    const bool is_set = key ? is_fine(api, api->AddSessionConfigEntry(options, key, value), key, failure)
                            : fail(failure, "'%s' is no session entry", text);
    free(key);
    return is_set;
}

/* The provider at `index`, with the options that follow it. The CPU needs no word: it is always there, as the last. */
static bool add_provider(const OrtApi *api, OrtSessionOptions *options, const struct opening *opening, size_t index,
                         struct failure *failure)
{
    const char *name = opening->settings[index].value;
    const char *values[MAX_PROVIDER_OPTIONS] = {NULL};
    char *keys[MAX_PROVIDER_OPTIONS] = {NULL};
    size_t count = 0;
    bool is_sound = true;
    if (strcmp(name, "CPU") == 0) {
        return true;
    }
    for (index++; is_sound && index < opening->setting_count; index++) {
        const struct setting *setting = &opening->settings[index];
        if (strcmp(setting->name, "provider_option") != 0) {
            break;
        }
        char *key = count < MAX_PROVIDER_OPTIONS ? split_pair(setting->value, &values[count]) : NULL;
        if (key) {
            keys[count++] = key;
        } else {
            is_sound = fail(failure, "'%s' is no provider option, or one too many", setting->value);
        }
    }
    if (is_sound) {
        const char *const *names = (const char *const *)keys;
        is_sound = is_fine(api, api->SessionOptionsAppendExecutionProvider(options, name, names, values, count), name,
                           failure);
    }
    for (size_t key = 0; key < count; key++) {
        free(keys[key]);
    }
    return is_sound;
}

static bool apply_setting(const OrtApi *api, OrtSessionOptions *options, const struct opening *opening, size_t index,
                          struct failure *failure)
{
    const char *name = opening->settings[index].name, *value = opening->settings[index].value;
    if (strcmp(name, "graph_optimization") == 0) {
        return set_level(api, options, value, failure);
    }
    if (strcmp(name, "execution_mode") == 0) {
        const ExecutionMode mode = strcmp(value, "parallel") == 0 ? ORT_PARALLEL : ORT_SEQUENTIAL;
        return is_fine(api, api->SetSessionExecutionMode(options, mode), name, failure);
    }
    if (strcmp(name, "inter_op_threads") == 0) {
        return is_fine(api, api->SetInterOpNumThreads(options, atoi(value)), name, failure);
    }
    if (strcmp(name, "entry") == 0) {
        return set_entry(api, options, value, failure);
    }
    if (strcmp(name, "provider") == 0) {
        return add_provider(api, options, opening, index, failure);
    }
    /* `provider_option` was taken by its provider. */
    return strcmp(name, "provider_option") == 0 ? true : fail(failure, "'%s' is no setting of ONNX Runtime", name);
}

static bool open_session(struct runtime *runtime, const struct opening *opening, OrtSessionOptions *options,
                         struct failure *failure)
{
    const OrtApi *api = runtime->api;
    if (!is_fine(api, api->SetSessionLogSeverityLevel(options, ORT_LOGGING_LEVEL_FATAL), "log", failure) ||
        !is_fine(api, api->SetIntraOpNumThreads(options, opening->threads), "threads", failure)) {
        return false;
    }
    for (size_t index = 0; index < opening->setting_count; index++) {
        if (!apply_setting(api, options, opening, index, failure)) {
            return false;
        }
    }
    return is_fine(api, api->CreateSession(runtime->env, opening->engine, options, &runtime->session), "the engine",
                   failure);
}

static bool open_all(struct runtime *runtime, const struct opening *opening, struct failure *failure)
{
    OrtSessionOptions *options = NULL;
    if (!load_library(runtime, opening->library, failure)) {
        return false;
    }
    const OrtApi *api = runtime->api;
    const bool is_open =
        is_fine(api, api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "edgetool-selftest", &runtime->env), "start", failure) &&
        is_fine(api, api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &runtime->memory), "start",
                failure) &&
        is_fine(api, api->CreateSessionOptions(&options), "start", failure) &&
        open_session(runtime, opening, options, failure);
    if (options) {
        api->ReleaseSessionOptions(options);
    }
    return is_open;
}

struct runtime *runtime_open(const struct opening *opening, struct failure *failure)
{
    struct runtime *runtime = calloc(1, sizeof *runtime);
    (void)setenv("ORT_DISABLE_TELEMETRY", "1", 0);
    if (!runtime) {
        (void)fail(failure, "there is not enough memory");
    } else if (!open_all(runtime, opening, failure)) {
        runtime_close(runtime);
        runtime = NULL;
    }
    return runtime;
}

const char *runtime_version(const struct runtime *runtime)
{
    return runtime->version;
}

static void release_values(const OrtApi *api, OrtValue ***values, size_t *count)
{
    for (size_t index = 0; index < *count; index++) {
        if ((*values)[index]) {
            api->ReleaseValue((*values)[index]);
        }
    }
    free(*values);
    *values = NULL;
    *count = 0;
}

/* What ONNX Runtime says of an output. */
static bool describe(const OrtApi *api, OrtValue *value, struct tensor *output, struct failure *failure)
{
    OrtTensorTypeAndShapeInfo *info = NULL;
    ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    if (!is_fine(api, api->GetTensorTypeAndShape(value, &info), output->name, failure)) {
        return false;
    }
    bool is_known = is_fine(api, api->GetTensorElementType(info, &type), output->name, failure) &&
                    is_fine(api, api->GetDimensionsCount(info, &output->rank), output->name, failure);
    if (is_known && output->rank > MAX_RANK) {
        is_known = fail(failure, "%s: it has %zu dimensions, more than can be compared", output->name, output->rank);
    }
    is_known = is_known && is_fine(api, api->GetDimensions(info, output->shape, output->rank), output->name, failure);
    api->ReleaseTensorTypeAndShapeInfo(info);
    output->dtype = DTYPE_BOOL;
    while (is_known && TYPES[output->dtype] != type) {
        output->dtype = (enum dtype)((int)output->dtype + 1);
        if (output->dtype == DTYPE_COUNT) {
            return fail(failure, "%s: its elements are of ONNX type %d, which cannot be compared", output->name,
                        (int)type);
        }
    }
    return is_known;
}

static bool take_outputs(struct runtime *runtime, struct tensor *outputs, struct failure *failure)
{
    const OrtApi *api = runtime->api;
    for (size_t index = 0; index < runtime->output_count; index++) {
        struct tensor *output = &outputs[index];
        if (!describe(api, runtime->outputs[index], output, failure) ||
            !is_fine(api, api->GetTensorMutableData(runtime->outputs[index], &output->data), output->name, failure)) {
            return false;
        }
        if (!tensor_bytes(output, &output->bytes)) {
            return fail(failure, "%s: its shape is no shape", output->name);
        }
    }
    return true;
}

static bool wrap_inputs(struct runtime *runtime, const struct tensor *inputs, struct failure *failure)
{
    const OrtApi *api = runtime->api;
    for (size_t index = 0; index < runtime->input_count; index++) {
        const struct tensor *input = &inputs[index];
        OrtStatus *status =
            api->CreateTensorWithDataAsOrtValue(runtime->memory, input->data, input->bytes, input->shape, input->rank,
                                                TYPES[input->dtype], &runtime->inputs[index]);
        if (!is_fine(api, status, input->name, failure)) {
            return false;
        }
    }
    return true;
}

static bool run(struct runtime *runtime, const struct tensor *inputs, struct tensor *outputs, struct failure *failure)
{
    const char **names = calloc(runtime->input_count + runtime->output_count, sizeof *names);
    if (!names) {
        return fail(failure, "there is not enough memory");
    }
    for (size_t index = 0; index < runtime->input_count; index++) {
        names[index] = inputs[index].name;
    }
    for (size_t index = 0; index < runtime->output_count; index++) {
        names[runtime->input_count + index] = outputs[index].name;
    }
    OrtStatus *status =
        runtime->api->Run(runtime->session, NULL, names, (const OrtValue *const *)runtime->inputs, runtime->input_count,
                          names + runtime->input_count, runtime->output_count, runtime->outputs);
    free(names);
    return is_fine(runtime->api, status, "the engine does not run", failure);
}

bool runtime_infer(struct runtime *runtime, const struct tensor *inputs, size_t input_count, struct tensor *outputs,
                   size_t output_count, struct failure *failure)
{
    release_values(runtime->api, &runtime->inputs, &runtime->input_count);
    release_values(runtime->api, &runtime->outputs, &runtime->output_count);
    runtime->inputs = calloc(input_count + 1, sizeof(OrtValue *));
    runtime->outputs = calloc(output_count + 1, sizeof(OrtValue *));
    if (!runtime->inputs || !runtime->outputs) {
        return fail(failure, "there is not enough memory");
    }
    runtime->input_count = input_count;
    runtime->output_count = output_count;
    const bool has_run = wrap_inputs(runtime, inputs, failure) && run(runtime, inputs, outputs, failure) &&
                         take_outputs(runtime, outputs, failure);
    release_values(runtime->api, &runtime->inputs, &runtime->input_count);
    return has_run;
}

void runtime_close(struct runtime *runtime)
{
    if (!runtime) {
        return;
    }
    const OrtApi *api = runtime->api;
    if (api) {
        release_values(api, &runtime->inputs, &runtime->input_count);
        release_values(api, &runtime->outputs, &runtime->output_count);
    }
    if (runtime->session) {
        api->ReleaseSession(runtime->session);
    }
    if (runtime->memory) {
        api->ReleaseMemoryInfo(runtime->memory);
    }
    if (runtime->env) {
        api->ReleaseEnv(runtime->env);
    }
    /* The library stays: its threads may still be on their way out. */
    free(runtime);
}
