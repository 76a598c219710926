/* Taking a frame's payload apart. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "agent.h"

enum { MAX_ARGUMENTS = 1 << 16 };

uint32_t get_u32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static const uint8_t *take(struct reader *reader, size_t size) {
    if ((size_t)(reader->end - reader->at) < size) give_up("short frame");
    const uint8_t *at = reader->at;
    reader->at += size;
    return at;
}

uint8_t take_u8(struct reader *reader) { return *take(reader, 1); }

uint32_t take_u32(struct reader *reader) { return get_u32(take(reader, 4)); }

uint64_t take_u64(struct reader *reader) {
    uint64_t low = take_u32(reader);
    return low | (uint64_t)take_u32(reader) << 32;
}

char *take_string(struct reader *reader) {
    const uint8_t *end = memchr(reader->at, 0, (size_t)(reader->end - reader->at));
    if (end == NULL) give_up("string without end");
    return (char *)take(reader, (size_t)(end - reader->at) + 1);
}

char **take_strings(struct reader *rest) {
    uint32_t count = take_u32(rest);
    if (count > MAX_ARGUMENTS) give_up("too many strings");
    char **strings = calloc(count + 1, sizeof *strings);
    if (strings == NULL) give_up("no memory");
    for (uint32_t i = 0; i < count; i++) strings[i] = take_string(rest);
    return strings;
}

void read_program(struct program *program, struct reader *rest) {
    program->address_space = take_u64(rest);
    program->processes = take_u32(rest);
    program->file_size = take_u64(rest);
    program->cwd = take_string(rest);
    program->argv = take_strings(rest);
    program->environment = take_strings(rest);
    if (program->argv[0] == NULL) give_up("no arguments");
}
