// TensorRT 8.5 to 11, and TensorRT-RTX, through their C++ API.
#include "runtime.h"

#include <NvInferRuntime.h>
#include <cuda_runtime_api.h>
#ifdef EDGETOOL_TENSORRT_PLUGINS
#include <NvInferPlugin.h>
#endif

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#ifdef EDGETOOL_TENSORRT_RTX
extern "C" const char *const RUNTIME_NAME = "tensorrt-rtx";
#else
extern "C" const char *const RUNTIME_NAME = "tensorrt";
#endif

namespace
{

// Keeps the latest error: TensorRT says there what it does not say by its return values.
class Logger final : public nvinfer1::ILogger
{
public:
    void log(Severity severity, const char *text) noexcept override
    {
        if (severity <= Severity::kERROR) {
            try {
                latest_ = text;
            } catch (const std::exception &) {
                latest_.clear(); // no memory for a reason
            }
        }
    }

    // The latest error, once.
    std::string take()
    {
        std::string text;
        text.swap(latest_);
        return text.empty() ? "TensorRT gives no reason" : text;
    }

private:
    std::string latest_;
};

// Memory on the GPU.
class Buffer
{
public:
    Buffer() = default;
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
    ~Buffer()
    {
        (void)cudaFree(data_);
    }

    // Room for so many bytes; what was there is lost where it grows.
    cudaError_t reserve(size_t bytes)
    {
        if (data_ && bytes <= bytes_) {
            return cudaSuccess;
        }
        (void)cudaFree(data_);
        data_ = nullptr;
        bytes_ = bytes ? bytes : 1; // an empty tensor wants an address, too
        return cudaMalloc(&data_, bytes_);
    }

    void *data() const
    {
        return data_;
    }

private:
    void *data_ = nullptr;
    size_t bytes_ = 0;
};

// One input or output of the engine, in its own element type.
struct Port {
    dtype type = DTYPE_COUNT;
    bool is_on_host = false;
    std::vector<char> host;
    std::vector<char> widened; // an output in the type that was asked for
    Buffer device;
};

// DTYPE_COUNT for a type that no tensor of a bundle has.
dtype type_of(nvinfer1::DataType type)
{
    switch (type) {
    case nvinfer1::DataType::kFLOAT:
        return DTYPE_FLOAT32;
    case nvinfer1::DataType::kHALF:
        return DTYPE_FLOAT16;
    case nvinfer1::DataType::kINT8:
        return DTYPE_INT8;
    case nvinfer1::DataType::kINT32:
        return DTYPE_INT32;
    case nvinfer1::DataType::kBOOL:
        return DTYPE_BOOL;
    case nvinfer1::DataType::kUINT8:
        return DTYPE_UINT8;
#if defined(EDGETOOL_TENSORRT_RTX) || NV_TENSORRT_MAJOR >= 10
    case nvinfer1::DataType::kBF16:
        return DTYPE_BFLOAT16;
    case nvinfer1::DataType::kINT64:
        return DTYPE_INT64;
#endif
    default:
        return DTYPE_COUNT;
    }
}

bool is_fine(cudaError_t error, const char *what, failure *failure)
{
    return error == cudaSuccess || fail(failure, "%s: %s", what, cudaGetErrorString(error));
}

template <typename From, typename To> std::vector<char> converted(const void *data, size_t count)
{
    std::vector<char> result(count * sizeof(To));
    for (size_t index = 0; index < count; index++) {
        From from;
        std::memcpy(&from, static_cast<const char *>(data) + index * sizeof from, sizeof from);
        const To to = static_cast<To>(from);
        std::memcpy(result.data() + index * sizeof to, &to, sizeof to);
    }
    return result;
}

bool fits_int32(const tensor &input)
{
    for (size_t offset = 0; offset < input.bytes; offset += sizeof(int64_t)) {
        int64_t value;
        std::memcpy(&value, static_cast<const char *>(input.data) + offset, sizeof value);
        if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max()) {
            return false;
        }
    }
    return true;
}

// The input in the engine's type. Before version 10 TensorRT has no int64, and takes int32 in its place; it has never
// had float64, and takes float32.
bool narrow(const tensor &input, Port &port, failure *failure)
{
    const size_t count = input.bytes / dtype_size(input.dtype);
    if (input.dtype == port.type) {
        const char *data = static_cast<const char *>(input.data);
        port.host.assign(data, data + input.bytes);
    } else if (input.dtype == DTYPE_INT64 && port.type == DTYPE_INT32) {
        if (!fits_int32(input)) {
            return fail(failure, "%s: it holds values beyond int32, which this TensorRT takes", input.name);
        }
        port.host = converted<int64_t, int32_t>(input.data, count);
    } else if (input.dtype == DTYPE_FLOAT64 && port.type == DTYPE_FLOAT32) {
        port.host = converted<double, float>(input.data, count);
    } else {
        return fail(failure, "%s: the engine takes %s, and the bundle has %s", input.name, dtype_name(port.type),
                    dtype_name(input.dtype));
    }
    return true;
}

// Back to the type that was asked for, where only TensorRT lacks it.
void widen(Port &port, tensor &output)
{
    const size_t count = port.host.size() / dtype_size(port.type);
    const dtype wanted = output.dtype;
    output.dtype = port.type;
    port.widened.clear();
    if (wanted == DTYPE_INT64 && port.type == DTYPE_INT32) {
        port.widened = converted<int32_t, int64_t>(port.host.data(), count);
        output.dtype = wanted;
    } else if (wanted == DTYPE_FLOAT64 && port.type == DTYPE_FLOAT32) {
        port.widened = converted<float, double>(port.host.data(), count);
        output.dtype = wanted;
    }
    std::vector<char> &result = output.dtype == port.type ? port.host : port.widened;
    output.data = result.data();
    output.bytes = result.size();
}

std::string version_text(int number)
{
    const int major = number >= 100000 ? number / 10000 : number / 1000; // 8601 is 8.6.1, 100300 is 10.3.0
    const int rest = number - major * (number >= 100000 ? 10000 : 1000);
    return std::to_string(major) + "." + std::to_string(rest / 100) + "." + std::to_string(rest % 100);
}

} // namespace

struct runtime {
    ~runtime()
    {
        if (stream) {
            (void)cudaStreamDestroy(stream);
        }
    }

    Logger logger; // first, so that it outlives all who log
    std::unique_ptr<nvinfer1::IRuntime> library;
    std::unique_ptr<nvinfer1::ICudaEngine> engine;
    std::unique_ptr<nvinfer1::IExecutionContext> context;
    std::map<std::string, Port> ports;
    cudaStream_t stream = nullptr;
    std::string version;
};

namespace
{

bool is_input(const runtime &self, const std::string &name)
{
    return self.engine->getTensorIOMode(name.c_str()) == nvinfer1::TensorIOMode::kINPUT;
}

bool load(runtime &self, const opening &opening, failure *failure)
{
    const std::string path = opening.engine;
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> plan{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (plan.empty()) {
        return fail(failure, "%s: it cannot be read, or is empty", path.c_str());
    }
    self.engine.reset(self.library->deserializeCudaEngine(plan.data(), plan.size()));
    if (!self.engine) {
        return fail(failure, "the engine is refused: %s", self.logger.take().c_str());
    }
    self.context.reset(self.engine->createExecutionContext());
    return self.context ? true : fail(failure, "the engine does not start: %s", self.logger.take().c_str());
}

bool read_ports(runtime &self, failure *failure)
{
    for (int32_t index = 0; index < self.engine->getNbIOTensors(); index++) {
        const char *name = self.engine->getIOTensorName(index);
        Port &port = self.ports[name];
        port.type = type_of(self.engine->getTensorDataType(name));
        port.is_on_host = self.engine->getTensorLocation(name) == nvinfer1::TensorLocation::kHOST;
        if (port.type == DTYPE_COUNT) {
            return fail(failure, "%s: its elements are of TensorRT's type %d, which cannot be fed or compared", name,
                        static_cast<int>(self.engine->getTensorDataType(name)));
        }
    }
    return true;
}

bool apply_settings(runtime &self, const opening &opening, failure *failure)
{
    for (size_t index = 0; index < opening.setting_count; index++) {
        const setting &setting = opening.settings[index];
        if (std::strcmp(setting.name, "dla_core") != 0) {
            return fail(failure, "'%s' is no setting of TensorRT", setting.name);
        }
#ifdef EDGETOOL_TENSORRT_RTX
        return fail(failure, "TensorRT-RTX has no deep learning accelerator");
#else
        self.library->setDLACore(std::atoi(setting.value));
#endif
    }
    (void)self;
    return true;
}

bool open_all(runtime &self, const opening &opening, failure *failure)
{
    const std::string engine = opening.engine;
    if (opening.library) {
        return fail(failure, "TensorRT is linked to this program: LD_LIBRARY_PATH names its place, not --library");
    }
    if (engine.size() > 5 && engine.compare(engine.size() - 5, 5, ".onnx") == 0) {
        return fail(failure, "the bundle is a kit: run its model/build-engine.sh, and give what it built by --engine");
    }
    self.version = version_text(getInferLibVersion());
#ifdef EDGETOOL_TENSORRT_PLUGINS
    if (!initLibNvInferPlugins(&self.logger, "")) {
        return fail(failure, "TensorRT's plugins: %s", self.logger.take().c_str());
    }
#endif
    self.library.reset(nvinfer1::createInferRuntime(self.logger));
    if (!self.library) {
        return fail(failure, "TensorRT does not start: %s", self.logger.take().c_str());
    }
    return is_fine(cudaStreamCreate(&self.stream), "the GPU", failure) && apply_settings(self, opening, failure) &&
           load(self, opening, failure) && read_ports(self, failure);
}

bool give(runtime &self, const tensor &input, failure *failure)
{
    const auto found = self.ports.find(input.name);
    if (found == self.ports.end() || !is_input(self, input.name)) {
        return fail(failure, "the engine has no input '%s'", input.name);
    }
    Port &port = found->second;
    nvinfer1::Dims shape{};
    if (input.rank > static_cast<size_t>(nvinfer1::Dims::MAX_DIMS)) {
        return fail(failure, "%s: it has %zu dimensions, more than TensorRT takes", input.name, input.rank);
    }
    shape.nbDims = static_cast<int32_t>(input.rank);
    for (size_t axis = 0; axis < input.rank; axis++) {
        // 32 bits before version 10.
        shape.d[axis] = static_cast<std::remove_reference_t<decltype(shape.d[0])>>(input.shape[axis]);
    }
    if (!narrow(input, port, failure)) {
        return false;
    }
    if (!self.context->setInputShape(input.name, shape)) {
        return fail(failure, "%s: its shape is outside of the engine's profile: %s", input.name,
                    self.logger.take().c_str());
    }
    if (!port.is_on_host && (!is_fine(port.device.reserve(port.host.size()), input.name, failure) ||
                             !is_fine(cudaMemcpyAsync(port.device.data(), port.host.data(), port.host.size(),
                                                      cudaMemcpyHostToDevice, self.stream),
                                      input.name, failure))) {
        return false;
    }
    void *address = port.is_on_host ? port.host.data() : port.device.data();
    return self.context->setTensorAddress(input.name, address) ? true
                                                               : fail(failure, "%s: it is not taken", input.name);
}

// The shape that an output will have, now that those of the inputs are known.
bool shape_of(const runtime &self, const char *name, const Port &port, tensor &output, failure *failure)
{
    const nvinfer1::Dims shape = self.context->getTensorShape(name);
    output.dtype = port.type;
    output.rank = 0;
    for (int32_t axis = 0; axis < shape.nbDims; axis++) {
        output.shape[output.rank++] = shape.d[axis];
    }
    if (shape.nbDims < 0 || !tensor_bytes(&output, &output.bytes)) {
        return fail(failure, "%s: its shape depends on the values of the inputs, which this self-test cannot run",
                    name);
    }
    return true;
}

bool make_room(runtime &self, const std::string &name, Port &port, failure *failure)
{
    tensor output{};
    if (!shape_of(self, name.c_str(), port, output, failure)) {
        return false;
    }
    port.host.resize(output.bytes);
    if (!port.is_on_host && !is_fine(port.device.reserve(output.bytes), name.c_str(), failure)) {
        return false;
    }
    void *address = port.is_on_host ? port.host.data() : port.device.data();
    return self.context->setTensorAddress(name.c_str(), address) ? true
                                                                 : fail(failure, "%s: it is not taken", name.c_str());
}

bool make_rooms(runtime &self, failure *failure)
{
    for (auto &[name, port] : self.ports) {
        if (!is_input(self, name) && !make_room(self, name, port, failure)) {
            return false;
        }
    }
    return true;
}

bool fetch(runtime &self, failure *failure)
{
    for (auto &[name, port] : self.ports) {
        if (!is_input(self, name) && !port.is_on_host &&
            !is_fine(cudaMemcpyAsync(port.host.data(), port.device.data(), port.host.size(), cudaMemcpyDeviceToHost,
                                     self.stream),
                     name.c_str(), failure)) {
            return false;
        }
    }
    return is_fine(cudaStreamSynchronize(self.stream), "the engine does not run", failure);
}

bool take(runtime &self, tensor &output, failure *failure)
{
    const auto found = self.ports.find(output.name);
    if (found == self.ports.end() || is_input(self, output.name)) {
        return fail(failure, "the engine has no output '%s'", output.name);
    }
    const dtype wanted = output.dtype;
    if (!shape_of(self, output.name, found->second, output, failure)) {
        return false;
    }
    output.dtype = wanted;
    widen(found->second, output);
    return true;
}

bool infer(runtime &self, const tensor *inputs, size_t input_count, tensor *outputs, size_t output_count,
           failure *failure)
{
    for (size_t index = 0; index < input_count; index++) {
        if (!give(self, inputs[index], failure)) {
            return false;
        }
    }
    if (!make_rooms(self, failure)) {
        return false;
    }
    if (!self.context->enqueueV3(self.stream)) {
        return fail(failure, "the engine does not run: %s", self.logger.take().c_str());
    }
    if (!fetch(self, failure)) {
        return false;
    }
    for (size_t index = 0; index < output_count; index++) {
        if (!take(self, outputs[index], failure)) {
            return false;
        }
    }
    return true;
}

} // namespace

// No exception may leave these: their callers are C.

struct runtime *runtime_open(const struct opening *opening, struct failure *failure)
{
    try {
        auto self = std::make_unique<runtime>();
        return open_all(*self, *opening, failure) ? self.release() : nullptr;
    } catch (const std::exception &error) {
        (void)fail(failure, "%s", error.what());
        return nullptr;
    }
}

const char *runtime_version(const struct runtime *runtime)
{
    return runtime->version.c_str();
}

bool runtime_infer(struct runtime *runtime, const struct tensor *inputs, size_t input_count, struct tensor *outputs,
                   size_t output_count, struct failure *failure)
{
    try {
        return infer(*runtime, inputs, input_count, outputs, output_count, failure);
    } catch (const std::exception &error) {
        return fail(failure, "%s", error.what());
    }
}

void runtime_close(struct runtime *runtime)
{
    delete runtime;
}
