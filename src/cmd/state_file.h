/* Files that hold the saved state of a device: uvdpa-state(5). */
#ifndef UVDPA_CMD_STATE_FILE_H
#define UVDPA_CMD_STATE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* The bytes of a file, at most STATE_MAX_BYTES; the caller frees them. NULL: the error says why. */
uint8_t *state_file_read(const char *path, size_t *size, struct error *err);
/* Makes or replaces a file, whole or not at all; only its owner can read it. */
int state_file_write(const char *path, const uint8_t *bytes, size_t size, struct error *err);

#endif
