// In place of TensorRT's header: declarations of what the self-test calls, as versions 8.6, 10 and 11 have them, and
// one engine. It gives `doubled`, in the type of its input `x`, and `count`, an int32 on the host: how many rows there
// were. Its file says `plan float32` or `plan int32`. What runs on it proves nothing for TensorRT.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#ifndef NV_TENSORRT_MAJOR
#define NV_TENSORRT_MAJOR 10
#endif

struct CUstream_st;

namespace nvinfer1
{

enum class DataType : int32_t {
    kFLOAT = 0,
    kHALF = 1,
    kINT8 = 2,
    kINT32 = 3,
    kBOOL = 4,
    kUINT8 = 5,
    kFP8 = 6,
#if NV_TENSORRT_MAJOR >= 10
    kBF16 = 7,
    kINT64 = 8,
    kINT4 = 9,
#endif
};
enum class TensorLocation : int32_t { kDEVICE = 0, kHOST = 1 };
enum class TensorIOMode : int32_t { kNONE = 0, kINPUT = 1, kOUTPUT = 2 };

struct Dims {
    static constexpr int32_t MAX_DIMS = 8;
    int32_t nbDims;
#if NV_TENSORRT_MAJOR >= 10
    int64_t d[MAX_DIMS];
#else
    int32_t d[MAX_DIMS];
#endif
};

class ILogger
{
public:
    enum class Severity : int32_t { kINTERNAL_ERROR = 0, kERROR = 1, kWARNING = 2, kINFO = 3, kVERBOSE = 4 };
    virtual void log(Severity severity, const char *text) noexcept = 0;
    virtual ~ILogger() = default;
};

class IExecutionContext
{
public:
    IExecutionContext(ILogger &logger, bool is_float) : logger_(logger), is_float_(is_float)
    {
    }
    virtual ~IExecutionContext() = default;
    bool setInputShape(const char *name, Dims const &dims) noexcept
    {
        if (std::strcmp(name, "x") != 0 || dims.nbDims != 2 || dims.d[0] > 8) {
            logger_.log(ILogger::Severity::kERROR, "not between the smallest and the largest shape");
            return false;
        }
        shape_ = dims;
        return true;
    }
    Dims getTensorShape(const char *name) const noexcept
    {
        return std::strcmp(name, "count") == 0 ? Dims{} : shape_;
    }
    bool setTensorAddress(const char *name, void *data) noexcept
    {
        void *&place = std::strcmp(name, "x") == 0 ? x_ : std::strcmp(name, "count") == 0 ? count_ : doubled_;
        place = data;
        return true;
    }
    bool enqueueV3(CUstream_st *) noexcept
    {
        const int32_t rows = static_cast<int32_t>(shape_.d[0]);
        for (int64_t index = 0; index < shape_.d[0] * shape_.d[1]; index++) {
            if (is_float_) {
                static_cast<float *>(doubled_)[index] = 2 * static_cast<float *>(x_)[index];
            } else {
                static_cast<int32_t *>(doubled_)[index] = 2 * static_cast<int32_t *>(x_)[index];
            }
        }
        std::memcpy(count_, &rows, sizeof rows);
        return true;
    }

private:
    ILogger &logger_;
    bool is_float_;
    Dims shape_{};
    void *x_ = nullptr, *doubled_ = nullptr, *count_ = nullptr;
};

class ICudaEngine
{
public:
    ICudaEngine(ILogger &logger, bool is_float) : logger_(logger), is_float_(is_float)
    {
    }
    virtual ~ICudaEngine() = default;
    IExecutionContext *createExecutionContext() noexcept
    {
        return new IExecutionContext(logger_, is_float_);
    }
    int32_t getNbIOTensors() const noexcept
    {
        return 3;
    }
    const char *getIOTensorName(int32_t index) const noexcept
    {
        return index == 0 ? "x" : index == 1 ? "doubled" : "count";
    }
    TensorIOMode getTensorIOMode(const char *name) const noexcept
    {
        return std::strcmp(name, "x") == 0 ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
    }
    DataType getTensorDataType(const char *name) const noexcept
    {
        return is_float_ && std::strcmp(name, "count") != 0 ? DataType::kFLOAT : DataType::kINT32;
    }
    TensorLocation getTensorLocation(const char *name) const noexcept
    {
        return std::strcmp(name, "count") == 0 ? TensorLocation::kHOST : TensorLocation::kDEVICE;
    }

private:
    ILogger &logger_;
    bool is_float_;
};

class IRuntime
{
public:
    explicit IRuntime(ILogger &logger) : logger_(logger)
    {
    }
    virtual ~IRuntime() = default;
    ICudaEngine *deserializeCudaEngine(const void *plan, size_t size) noexcept
    {
        const std::string text(static_cast<const char *>(plan), size);
        if (text != "plan float32" && text != "plan int32") {
            logger_.log(ILogger::Severity::kERROR, "magicTag does not match");
            return nullptr;
        }
        return new ICudaEngine(logger_, text == "plan float32");
    }
    void setDLACore(int32_t) noexcept
    {
    }

private:
    ILogger &logger_;
};

inline IRuntime *createInferRuntime(ILogger &logger) noexcept
{
    return new IRuntime(logger);
}

} // namespace nvinfer1

inline int32_t getInferLibVersion() noexcept
{
    return NV_TENSORRT_MAJOR >= 10 ? NV_TENSORRT_MAJOR * 10000 + 300 : NV_TENSORRT_MAJOR * 1000 + 601;
}
