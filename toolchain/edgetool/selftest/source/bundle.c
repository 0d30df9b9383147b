/* The format of src/selftest.conf, one statement a line, separated by single spaces:
 *
 *     edgetool-selftest 1
 *     runtime NAME
 *     min-cosine NUMBER
 *     entry PATH
 *     set NAME VALUE
 *     case
 *     input DTYPE SHAPE PATH NAME
 *     output DTYPE SHAPE PATH NAME
 *
 * Shapes are 1x3x224x224, and `-` for a scalar. What is no plain character is written %XX. Paths are inside the bundle.
 */
#include "bundle.h"
#include "file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "golden data are little-endian, and this processor is not"
#endif

static const char CONFIGURATION[] = "src/selftest.conf";
static const char HEADER[] = "edgetool-selftest 1\n";

enum { MAX_CONFIGURATION = 16 << 20 };

/* A relative path that stays inside the bundle. */
static bool is_inside(const char *path)
{
    if (*path == '\0' || *path == '/') {
        return false;
    }
    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        const size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.')) {
            return false;
        }
    }
    return true;
}

/* A file of the bundle, to be freed. */
static char *read_inside(const char *folder, const char *name, size_t limit, size_t *size, struct failure *failure)
{
    char *path = path_in(folder, name);
    char *content = NULL;
    if (path) {
        content = read_file(path, limit, size, failure);
    } else {
        (void)fail(failure, "there is not enough memory");
    }
    free(path);
    return content;
}

static int hex_digit(char character)
{
    const char *digits = "0123456789ABCDEF";
    const char *place = character ? strchr(digits, character) : NULL;
    return place ? (int)(place - digits) : -1;
}

/* Replaces %XX in place; NULL where it is not well-formed. */
static const char *decoded(char *text)
{
    char *end = text;
    for (const char *next = text; *next; next++) {
        if (*next != '%') {
            *end++ = *next;
            continue;
        }
        const int high = hex_digit(next[1]);
        const int low = high < 0 ? -1 : hex_digit(next[2]);
        if (low < 0 || high + low == 0) {
            return NULL;
        }
        *end++ = (char)(high * 16 + low);
        next += 2;
    }
    *end = '\0';
    return text;
}

/* The text up to the next space, which becomes its end; the last word of a line may be empty. */
static char *next_word(char **rest)
{
    char *word = *rest;
    char *space = word + strcspn(word, " ");
    *rest = *space ? space + 1 : space;
    *space = '\0';
    return word;
}

/* One more element, all zero, at the end of an array. */
static void *grown(void *array, size_t count, size_t size)
{
    char *larger = realloc(array, (count + 1) * size);
    if (larger) {
        memset(larger + count * size, 0, size);
    }
    return larger;
}

static bool parse_shape(const char *text, struct tensor *tensor)
{
    if (strcmp(text, "-") == 0) {
        return true;
    }
    for (;;) {
        char *end = NULL;
        errno = 0;
        if (*text < '0' || *text > '9' || tensor->rank == MAX_RANK) {
            return false;
        }
        tensor->shape[tensor->rank++] = strtoll(text, &end, 10);
        if (errno || (*end != 'x' && *end != '\0')) {
            return false;
        }
        if (*end == '\0') {
            return true;
        }
        text = end + 1;
    }
}

static bool parse_tensor(const char *folder, char *rest, struct tensor *tensor, struct failure *failure)
{
    const char *dtype = next_word(&rest);
    const char *shape = next_word(&rest);
    const char *path = decoded(next_word(&rest));
    size_t size = 0;
    tensor->name = decoded(rest);
    tensor->dtype = dtype_named(dtype);
    if (!path || !tensor->name || !is_inside(path)) {
        return fail(failure, "%s: a tensor has no sound path and name: %s", CONFIGURATION, rest);
    }
    if (tensor->dtype == DTYPE_COUNT) {
        return fail(failure, "'%s' has elements of type %s, which this self-test cannot feed or compare", tensor->name,
                    dtype);
    }
    if (!parse_shape(shape, tensor) || !tensor_bytes(tensor, &tensor->bytes)) {
        return fail(failure, "%s: '%s' is no shape of '%s'", CONFIGURATION, shape, tensor->name);
    }
    tensor->data = read_inside(folder, path, tensor->bytes, &size, failure);
    if (tensor->data && size != tensor->bytes) {
        return fail(failure, "%s/%s: it has %zu bytes, and %zu are expected", folder, path, size, tensor->bytes);
    }
    return tensor->data != NULL;
}

static bool parse_case_line(const char *folder, const char *word, char *rest, struct golden_case *last,
                            struct failure *failure)
{
    const bool is_input = strcmp(word, "input") == 0;
    struct tensor **tensors = is_input ? &last->inputs : &last->outputs;
    size_t *count = is_input ? &last->input_count : &last->output_count;
    struct tensor *larger = grown(*tensors, *count, sizeof **tensors);
    if (!larger) {
        return fail(failure, "there is not enough memory");
    }
    *tensors = larger;
    return parse_tensor(folder, rest, &larger[(*count)++], failure);
}

static bool parse_setting(char *rest, struct bundle *bundle, struct failure *failure)
{
    struct setting *larger = grown(bundle->settings, bundle->setting_count, sizeof *larger);
    if (!larger) {
        return fail(failure, "there is not enough memory");
    }
    bundle->settings = larger;
    struct setting *setting = &larger[bundle->setting_count++];
    setting->name = decoded(next_word(&rest));
    setting->value = decoded(rest);
    return setting->name && setting->value ? true : fail(failure, "%s: '%s' is no setting", CONFIGURATION, rest);
}

static bool parse_text(const char **place, const char *word, char *rest, struct failure *failure)
{
    if (*place) {
        return fail(failure, "%s: '%s' comes twice", CONFIGURATION, word);
    }
    *place = decoded(rest);
    return *place && **place ? true : fail(failure, "%s: '%s' says nothing", CONFIGURATION, word);
}

static bool parse_line(const char *folder, char *line, struct bundle *bundle, struct failure *failure)
{
    char *rest = line;
    const char *word = next_word(&rest);
    if (strcmp(word, "runtime") == 0) {
        return parse_text(&bundle->runtime, word, rest, failure);
    }
    if (strcmp(word, "entry") == 0) {
        return parse_text(&bundle->entry, word, rest, failure);
    }
    if (strcmp(word, "min-cosine") == 0) {
        char *end = NULL;
        bundle->min_cosine = strtod(rest, &end);
        const bool is_sound = end != rest && *end == '\0' && bundle->min_cosine > 0 && bundle->min_cosine <= 1;
        return is_sound ? true : fail(failure, "%s: '%s' is no cosine", CONFIGURATION, rest);
    }
    if (strcmp(word, "set") == 0) {
        return parse_setting(rest, bundle, failure);
    }
    if (strcmp(word, "case") == 0) {
        struct golden_case *larger = grown(bundle->cases, bundle->case_count, sizeof *larger);
        if (!larger) {
            return fail(failure, "there is not enough memory");
        }
        bundle->cases = larger;
        bundle->case_count++;
        return true;
    }
    if (bundle->case_count && (strcmp(word, "input") == 0 || strcmp(word, "output") == 0)) {
        return parse_case_line(folder, word, rest, &bundle->cases[bundle->case_count - 1], failure);
    }
    return fail(failure, "%s: '%s' is nothing that this self-test knows", CONFIGURATION, word);
}

static bool is_complete(const struct bundle *bundle, struct failure *failure)
{
    if (!bundle->runtime || !bundle->entry || bundle->min_cosine == 0 || bundle->case_count == 0) {
        return fail(failure, "%s: it lacks runtime, entry, min-cosine or a case", CONFIGURATION);
    }
    if (!is_inside(bundle->entry)) {
        return fail(failure, "%s: '%s' is not inside the bundle", CONFIGURATION, bundle->entry);
    }
    for (size_t index = 0; index < bundle->case_count; index++) {
        if (bundle->cases[index].output_count == 0) {
            return fail(failure, "%s: case %zu has no outputs, so it proves nothing", CONFIGURATION, index);
        }
    }
    return true;
}

bool bundle_read(const char *folder, struct bundle *bundle, struct failure *failure)
{
    size_t size = 0;
    memset(bundle, 0, sizeof *bundle);
    bundle->text = read_inside(folder, CONFIGURATION, MAX_CONFIGURATION, &size, failure);
    if (!bundle->text) {
        return false;
    }
    char *line = bundle->text;
    if (strlen(line) != size || strncmp(line, HEADER, sizeof HEADER - 1) != 0) {
        return fail(failure, "%s: it is no text that starts with 'edgetool-selftest 1'", CONFIGURATION);
    }
    for (line += sizeof HEADER - 1; *line;) {
        char *end = line + strcspn(line, "\n");
        char *next = *end ? end + 1 : end;
        *end = '\0';
        if (*line && !parse_line(folder, line, bundle, failure)) {
            return false;
        }
        line = next;
    }
    return is_complete(bundle, failure);
}

static void free_tensors(struct tensor *tensors, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        free(tensors[index].data);
    }
    free(tensors);
}

void bundle_free(struct bundle *bundle)
{
    for (size_t index = 0; index < bundle->case_count; index++) {
        free_tensors(bundle->cases[index].inputs, bundle->cases[index].input_count);
        free_tensors(bundle->cases[index].outputs, bundle->cases[index].output_count);
    }
    free(bundle->cases);
    free(bundle->settings);
    free(bundle->text);
}
