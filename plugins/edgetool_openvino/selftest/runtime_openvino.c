/* OpenVINO through its C API. */
#include "file.h"
#include "runtime.h"

#include <openvino/c/openvino.h>

#include <stdlib.h>
#include <string.h>

enum { MAX_DEVICE_NAME = 64 };

const char *const RUNTIME_NAME = "openvino";

struct runtime {
    ov_version_t version;
    ov_core_t *core;
    ov_compiled_model_t *compiled;
    ov_infer_request_t *request;
    ov_tensor_t **outputs; /* of the latest call: what it gave lies in them */
    size_t output_count;
};

static const ov_element_type_e TYPES[DTYPE_COUNT] = {
    [DTYPE_BOOL] = BOOLEAN,  [DTYPE_INT8] = I8,     [DTYPE_INT16] = I16,   [DTYPE_INT32] = I32,  [DTYPE_INT64] = I64,
    [DTYPE_UINT8] = U8,      [DTYPE_UINT16] = U16,  [DTYPE_UINT32] = U32,  [DTYPE_UINT64] = U64, [DTYPE_FLOAT16] = F16,
    [DTYPE_BFLOAT16] = BF16, [DTYPE_FLOAT32] = F32, [DTYPE_FLOAT64] = F64,
};

/* False and OpenVINO's own words where something went wrong. */
static bool is_fine(ov_status_e status, const char *what, struct failure *failure)
{
    if (status == OK) {
        return true;
    }
    const char *message = ov_get_last_err_msg();
    (void)fail(failure, "%s: %s", what, message && *message ? message : ov_get_error_info(status));
    ov_free(message);
    return false;
}

static const char *setting(const struct opening *opening, const char *name)
{
    for (size_t index = 0; index < opening->setting_count; index++) {
        if (strcmp(opening->settings[index].name, name) == 0) {
            return opening->settings[index].value;
        }
    }
    return NULL;
}

/* Whether the list has a device, or one with an index: GPU where there is GPU.0. */
static bool has_device(const ov_available_devices_t *present, const char *name)
{
    const size_t length = strcspn(name, ".");
    for (size_t index = 0; index < present->size; index++) {
        if (strncmp(present->devices[index], name, length) == 0 &&
            (present->devices[index][length] == '\0' || present->devices[index][length] == '.')) {
            return true;
        }
    }
    return false;
}

/* DEVICE KEY=VALUE. What is not here is left out: a list of devices may name more than this machine has, and where one
 * is missing that cannot be, compiling says so. */
static bool set_property(const ov_core_t *core, const ov_available_devices_t *present, const char *text,
                         struct failure *failure)
{
    char device[MAX_DEVICE_NAME], key[256];
    const size_t name = strcspn(text, " ");
    const size_t end = name + strcspn(text + name, "=");
    if (name == 0 || name >= sizeof device || text[name] != ' ' || text[end] != '=' || end - name > sizeof key) {
        return fail(failure, "'%s' is no property of a device", text);
    }
    (void)snprintf(device, sizeof device, "%.*s", (int)name, text);
    (void)snprintf(key, sizeof key, "%.*s", (int)(end - name - 1), text + name + 1);
    const ov_property_t property = {key, text + end + 1};
    return !has_device(present, device) || is_fine(ov_core_set_properties(core, device, 1, &property), text, failure);
}

static bool set_threads(const ov_core_t *core, const ov_available_devices_t *present, int threads,
                        struct failure *failure)
{
    char text[64];
    (void)snprintf(text, sizeof text, "CPU INFERENCE_NUM_THREADS=%d", threads);
    return threads == 0 || set_property(core, present, text, failure);
}

static bool set_properties(const ov_core_t *core, const struct opening *opening, struct failure *failure)
{
    ov_available_devices_t present = {NULL, 0};
    if (!is_fine(ov_core_get_available_devices(core, &present), "devices", failure)) {
        return false;
    }
    bool is_set = set_threads(core, &present, opening->threads, failure);
    for (size_t index = 0; is_set && index < opening->setting_count; index++) {
        if (strcmp(opening->settings[index].name, "property") == 0) {
            is_set = set_property(core, &present, opening->settings[index].value, failure);
        } else if (strcmp(opening->settings[index].name, "device") != 0) {
            is_set = fail(failure, "'%s' is no setting of OpenVINO", opening->settings[index].name);
        }
    }
    ov_available_devices_free(&present);
    return is_set;
}

/* An IR is compiled here and now. */
static bool compile_network(struct runtime *runtime, const char *path, const char *device, struct failure *failure)
{
    ov_model_t *model = NULL;
    const bool is_compiled =
        is_fine(ov_core_read_model(runtime->core, path, NULL, &model), "the engine", failure) &&
        is_fine(ov_core_compile_model(runtime->core, model, device, 0, &runtime->compiled), "the engine", failure);
    if (model) {
        ov_model_free(model);
    }
    return is_compiled;
}

/* A blob was compiled when the bundle was built. */
static bool import_blob(struct runtime *runtime, const char *path, const char *device, struct failure *failure)
{
    size_t size = 0;
    char *content = read_file(path, SIZE_MAX / 2, &size, failure);
    if (!content) {
        return false;
    }
    const bool is_imported =
        is_fine(ov_core_import_model(runtime->core, content, size, device, &runtime->compiled), "the engine", failure);
    free(content);
    return is_imported;
}

static bool open_all(struct runtime *runtime, const struct opening *opening, struct failure *failure)
{
    const char *device = setting(opening, "device");
    const size_t length = strlen(opening->engine);
    const bool is_network = length > 4 && strcmp(opening->engine + length - 4, ".xml") == 0;
    if (opening->library) {
        return fail(failure, "OpenVINO is linked to this program: LD_LIBRARY_PATH names its place, not --library");
    }
    if (!device) {
        return fail(failure, "the bundle names no device");
    }
    return is_fine(ov_get_openvino_version(&runtime->version), "OpenVINO", failure) &&
           is_fine(ov_core_create(&runtime->core), "OpenVINO", failure) &&
           set_properties(runtime->core, opening, failure) &&
           (is_network ? compile_network(runtime, opening->engine, device, failure)
                       : import_blob(runtime, opening->engine, device, failure)) &&
           is_fine(ov_compiled_model_create_infer_request(runtime->compiled, &runtime->request), "the engine", failure);
}

struct runtime *runtime_open(const struct opening *opening, struct failure *failure)
{
    struct runtime *runtime = calloc(1, sizeof *runtime);
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
    return runtime->version.buildNumber;
}

static void release_outputs(struct runtime *runtime)
{
    for (size_t index = 0; index < runtime->output_count; index++) {
        if (runtime->outputs[index]) {
            ov_tensor_free(runtime->outputs[index]);
        }
    }
    free(runtime->outputs);
    runtime->outputs = NULL;
    runtime->output_count = 0;
}

/* The request shares the input's memory, and keeps a reference of its own to the tensor that wraps it. */
static bool feed(ov_infer_request_t *request, const struct tensor *input, struct failure *failure)
{
    int64_t sizes[MAX_RANK];
    ov_tensor_t *tensor = NULL;
    memcpy(sizes, input->shape, sizeof sizes);
    const ov_shape_t shape = {(int64_t)input->rank, sizes};
    const bool is_fed = is_fine(ov_tensor_create_from_host_ptr(TYPES[input->dtype], shape, input->data, &tensor),
                                input->name, failure) &&
                        is_fine(ov_infer_request_set_tensor(request, input->name, tensor), input->name, failure);
    if (tensor) {
        ov_tensor_free(tensor);
    }
    return is_fed;
}

static bool take_type(const ov_tensor_t *tensor, struct tensor *output, struct failure *failure)
{
    ov_element_type_e type = DYNAMIC;
    if (!is_fine(ov_tensor_get_element_type(tensor, &type), output->name, failure)) {
        return false;
    }
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++) {
        if (TYPES[dtype] == type) {
            output->dtype = (enum dtype)dtype;
            return true;
        }
    }
    return fail(failure, "%s: its elements are of OpenVINO's type %d, which cannot be compared", output->name,
                (int)type);
}

static bool take_shape(const ov_tensor_t *tensor, struct tensor *output, struct failure *failure)
{
    ov_shape_t shape = {0, NULL};
    if (!is_fine(ov_tensor_get_shape(tensor, &shape), output->name, failure)) {
        return false;
    }
    const bool is_small = shape.rank >= 0 && shape.rank <= MAX_RANK;
    if (is_small) {
        output->rank = (size_t)shape.rank;
        for (size_t axis = 0; axis < output->rank; axis++) {
            output->shape[axis] = shape.dims[axis];
        }
    } else {
        (void)fail(failure, "%s: it has %lld dimensions, more than can be compared", output->name,
                   (long long)shape.rank);
    }
    (void)ov_shape_free(&shape);
    return is_small;
}

static bool take(ov_infer_request_t *request, ov_tensor_t **tensor, struct tensor *output, struct failure *failure)
{
    if (!is_fine(ov_infer_request_get_tensor(request, output->name, tensor), output->name, failure) ||
        !take_type(*tensor, output, failure) || !take_shape(*tensor, output, failure)) {
        return false;
    }
    if (!tensor_bytes(output, &output->bytes)) {
        return fail(failure, "%s: its shape is no shape", output->name);
    }
    return is_fine(ov_tensor_data(*tensor, &output->data), output->name, failure);
}

bool runtime_infer(struct runtime *runtime, const struct tensor *inputs, size_t input_count, struct tensor *outputs,
                   size_t output_count, struct failure *failure)
{
    release_outputs(runtime);
    for (size_t index = 0; index < input_count; index++) {
        if (!feed(runtime->request, &inputs[index], failure)) {
            return false;
        }
    }
    /* With one inference thread, the call that also waits forgets an error and gives back what the memory held
     * (2026.4). */
    if (!is_fine(ov_infer_request_start_async(runtime->request), "the engine does not run", failure) ||
        !is_fine(ov_infer_request_wait(runtime->request), "the engine does not run", failure)) {
        return false;
    }
    runtime->outputs = calloc(output_count, sizeof(ov_tensor_t *));
    if (!runtime->outputs) {
        return fail(failure, "there is not enough memory");
    }
    runtime->output_count = output_count;
    for (size_t index = 0; index < output_count; index++) {
        if (!take(runtime->request, &runtime->outputs[index], &outputs[index], failure)) {
            return false;
        }
    }
    return true;
}

void runtime_close(struct runtime *runtime)
{
    if (!runtime) {
        return;
    }
    release_outputs(runtime);
    if (runtime->request) {
        ov_infer_request_free(runtime->request);
    }
    if (runtime->compiled) {
        ov_compiled_model_free(runtime->compiled);
    }
    if (runtime->core) {
        ov_core_free(runtime->core);
    }
    ov_version_free(&runtime->version);
    free(runtime);
}
