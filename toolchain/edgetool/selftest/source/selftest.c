/* edgetool-selftest: runs the golden inputs of a bundle through its engine, and compares what comes out.
 *
 * One program serves all bundles of a runtime. It is meant for whoever decides whether a new model may stay: a health
 * check of an update system, a factory test, a person.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "agree.h"
#include "bundle.h"
#include "file.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum outcome { PASSED = 0, MISMATCH = 1, USAGE = 2, NOT_TESTED = 3 };

static const char HELP[] =
    "usage: edgetool-selftest [options] [BUNDLE]\n"
    "\n"
    "Runs the golden inputs of a bundle (by default the one in this folder) through its engine, and compares.\n"
    "\n"
    "  --engine FILE   load this engine in place of the bundle's own\n"
    "  --library PATH  the runtime's library, where the system does not find it by itself\n"
    "  --threads N     of the runtime; by default as many as it thinks best\n"
    "  --repeat N      afterwards run N times more, and print the latency\n"
    "  --quiet         print nothing but errors\n"
    "  --help          print this\n"
    "\n"
    "exit status: 0 the outputs are the golden ones, 1 they are not, 2 wrong usage,\n"
    "             3 not tested: bundle, library or engine cannot be loaded, or the engine does not run\n";

struct options {
    const char *bundle;
    const char *engine;
    const char *library;
    int threads;
    int repeat;
    bool is_quiet;
    bool wants_help;
};

static bool parse_count(const char *text, int *count)
{
    char *end = NULL;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < 1 || value > 1000000) {
        return false;
    }
    *count = (int)value;
    return true;
}

static bool parse_options(int count, char **arguments, struct options *options, struct failure *failure)
{
    for (int index = 1; index < count; index++) {
        const char *name = arguments[index];
        if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
            options->wants_help = true;
            continue;
        }
        if (strcmp(name, "--quiet") == 0) {
            options->is_quiet = true;
            continue;
        }
        if (name[0] != '-') {
            if (options->bundle) {
                return fail(failure, "one bundle at a time: '%s' and '%s'", options->bundle, name);
            }
            options->bundle = name;
            continue;
        }
        const char *value = index + 1 < count ? arguments[++index] : NULL;
        const bool is_text = strcmp(name, "--engine") == 0 || strcmp(name, "--library") == 0;
        const bool is_number = strcmp(name, "--threads") == 0 || strcmp(name, "--repeat") == 0;
        if (!is_text && !is_number) {
            return fail(failure, "unknown option '%s'", name);
        }
        if (!value || !*value) {
            return fail(failure, "%s wants a value", name);
        }
        if (is_text) {
            *(strcmp(name, "--engine") == 0 ? &options->engine : &options->library) = value;
        } else if (!parse_count(value, strcmp(name, "--threads") == 0 ? &options->threads : &options->repeat)) {
            return fail(failure, "%s wants a number from 1 to 1000000, not '%s'", name, value);
        }
    }
    return true;
}

/* In one line, without what a terminal would obey: names come from the bundle, reasons from runtimes. */
static void make_plain(char *text)
{
    for (; *text; text++) {
        if (*text == '\n') {
            *text = text[1] ? ' ' : '\0';
        } else if ((unsigned char)*text < ' ' || *text == 0x7f) {
            *text = '?';
        }
    }
}

/* Of one output; false where it is not the golden one. */
static bool judge(const struct tensor *golden, const struct tensor *found, double min_cosine, size_t number,
                  const struct options *options)
{
    FILE *stream = stdout;
    char name[256], wanted[512], got[512];
    (void)snprintf(name, sizeof name, "%s", golden->name);
    make_plain(name);
    if (found->dtype != golden->dtype || !same_shape(golden, found)) {
        tensor_text(golden, wanted, sizeof wanted);
        tensor_text(found, got, sizeof got);
        (void)fprintf(stderr, "case %zu: %s: WRONG: it is %s, and should be %s\n", number, name, got, wanted);
        return false;
    }
    const struct difference difference = difference_of(golden, found);
    const bool is_golden = agrees(&difference, min_cosine);
    if (!is_golden) {
        stream = stderr;
    } else if (options->is_quiet) {
        return true;
    }
    (void)fprintf(stream, "case %zu: %s: %s", number, name, is_golden ? "" : "WRONG: ");
    if (difference.strays) {
        (void)fprintf(stream, "%zu values are NaN or infinite on one side only\n", difference.strays);
    } else if (difference.integral) {
        (void)fprintf(stream, "%.2f%% of the values are equal\n", 100 * difference.equal);
    } else {
        (void)fprintf(stream, "cosine %.6f, gain %.4f, largest error %.3g\n", difference.cosine, difference.gain,
                      difference.max_abs);
    }
    return is_golden;
}

/* Outputs with the names and dtypes of the golden ones and nothing else; NULL without memory. */
static struct tensor *unknown_outputs(const struct golden_case *golden)
{
    struct tensor *outputs = calloc(golden->output_count, sizeof *outputs);
    for (size_t index = 0; outputs && index < golden->output_count; index++) {
        outputs[index].name = golden->outputs[index].name;
        outputs[index].dtype = golden->outputs[index].dtype;
    }
    return outputs;
}

static enum outcome run_case(struct runtime *runtime, const struct bundle *bundle, size_t number,
                             const struct options *options, struct failure *failure)
{
    const struct golden_case *golden = &bundle->cases[number];
    struct tensor *outputs = unknown_outputs(golden);
    enum outcome outcome = PASSED;
    if (!outputs) {
        (void)fail(failure, "there is not enough memory");
        return NOT_TESTED;
    }
    if (runtime_infer(runtime, golden->inputs, golden->input_count, outputs, golden->output_count, failure)) {
        for (size_t index = 0; index < golden->output_count; index++) {
            if (!judge(&golden->outputs[index], &outputs[index], bundle->min_cosine, number, options)) {
                outcome = MISMATCH;
            }
        }
    } else {
        outcome = NOT_TESTED;
    }
    free(outputs);
    return outcome;
}

static int ascending(const void *one, const void *other)
{
    const double first = *(const double *)one, second = *(const double *)other;
    return (first > second) - (first < second);
}

static double milliseconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Of the first case; what came before has warmed the runtime up. */
static enum outcome measure(struct runtime *runtime, const struct bundle *bundle, size_t runs, struct failure *failure)
{
    const struct golden_case *golden = &bundle->cases[0];
    struct tensor *outputs = unknown_outputs(golden);
    double *times = calloc(runs, sizeof *times);
    bool is_measured = outputs && times;
    if (!is_measured) {
        (void)fail(failure, "there is not enough memory");
    }
    for (size_t run = 0; is_measured && run < runs; run++) {
        const double start = milliseconds();
        is_measured =
            runtime_infer(runtime, golden->inputs, golden->input_count, outputs, golden->output_count, failure);
        times[run] = milliseconds() - start;
    }
    if (is_measured) {
        qsort(times, runs, sizeof *times, ascending);
        (void)printf("latency: p50 %.3f ms, p99 %.3f ms, from %.3f to %.3f ms in %zu runs\n", times[runs / 2],
                     times[(size_t)((double)(runs - 1) * 0.99)], times[0], times[runs - 1], runs);
    }
    free(times);
    free(outputs);
    return is_measured ? PASSED : NOT_TESTED;
}

static enum outcome run_all(struct runtime *runtime, const struct bundle *bundle, const struct options *options,
                            struct failure *failure)
{
    enum outcome worst = PASSED;
    if (!options->is_quiet) {
        (void)printf("%s %s\n", RUNTIME_NAME, runtime_version(runtime));
    }
    for (size_t number = 0; number < bundle->case_count && worst != NOT_TESTED; number++) {
        const enum outcome outcome = run_case(runtime, bundle, number, options, failure);
        worst = outcome > worst ? outcome : worst;
    }
    if (worst == PASSED && options->repeat) {
        worst = measure(runtime, bundle, (size_t)options->repeat, failure);
    }
    return worst;
}

static enum outcome test(const struct bundle *bundle, const struct options *options, struct failure *failure)
{
    if (strcmp(bundle->runtime, RUNTIME_NAME) != 0) {
        (void)fail(failure, "the bundle is for %s, and this self-test for %s", bundle->runtime, RUNTIME_NAME);
        return NOT_TESTED;
    }
    char *own = path_in(options->bundle, bundle->entry);
    const struct opening opening = {
        .engine = options->engine ? options->engine : own,
        .library = options->library,
        .threads = options->threads,
        .settings = bundle->settings,
        .setting_count = bundle->setting_count,
    };
    struct runtime *runtime = opening.engine ? runtime_open(&opening, failure) : NULL;
    const enum outcome outcome = runtime ? run_all(runtime, bundle, options, failure) : NOT_TESTED;
    runtime_close(runtime);
    free(own);
    return outcome;
}

int main(int count, char **arguments)
{
    struct failure failure = {"there is not enough memory"};
    struct options options = {0};
    struct bundle bundle;
    (void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* whoever ends it after a while sees how far it came */
    if (!parse_options(count, arguments, &options, &failure)) {
        (void)fprintf(stderr, "edgetool-selftest: %s\n\n%s", failure.text, HELP);
        return USAGE;
    }
    if (options.wants_help) {
        (void)fputs(HELP, stdout);
        return PASSED;
    }
    if (!options.bundle) {
        options.bundle = ".";
    }
    enum outcome outcome = NOT_TESTED;
    if (bundle_read(options.bundle, &bundle, &failure)) {
        outcome = test(&bundle, &options, &failure);
    }
    bundle_free(&bundle);
    if (outcome == NOT_TESTED) {
        make_plain(failure.text);
        (void)fprintf(stderr, "edgetool-selftest: %s\n", failure.text);
    } else if (outcome == MISMATCH) {
        (void)fprintf(stderr, "FAILED: the outputs are not the golden ones\n");
    } else if (!options.is_quiet) {
        (void)printf("passed\n");
    }
    return outcome;
}
