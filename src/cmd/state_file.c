/* Reading and writing files of saved states: see state_file.h. */
#include "cmd/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/state.h"

uint8_t *state_file_read(const char *path, size_t *size, struct error *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *bytes = malloc(STATE_MAX_BYTES + 1);
	ssize_t got = 1;

	*size = 0;
	while (fd >= 0 && bytes && got > 0 && *size <= STATE_MAX_BYTES) {
		got = read(fd, bytes + *size, STATE_MAX_BYTES + 1 - *size);
		if (got > 0)
			*size += (size_t)got;
	}
	if (fd < 0 || !bytes || got < 0)
		error_set(f, -errno, "cannot read '%s': %s", path, strerror(errno));
	else if (*size > STATE_MAX_BYTES)
		error_set(f, -EFBIG, "'%s' is too large for a saved state", path);
	if (fd >= 0)
		close(fd);
	if (fd >= 0 && got >= 0 && *size <= STATE_MAX_BYTES)
		return bytes;
	free(bytes);
	return NULL;
}

static int write_all(int fd, const uint8_t *bytes, size_t size)
{
	while (size) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes += n;
		size -= (size_t)n;
	}
	/* EINVAL, EROFS: what is no file cannot be */
	return fsync(fd) < 0 && errno != EINVAL && errno != EROFS ? -errno : 0;
}

/* A device, pipe or the like is written to as it is; a file of ours would not belong there. */
static int write_special(const char *path, const uint8_t *bytes, size_t size, struct error *f)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r;

	r = fd < 0 ? -errno : write_all(fd, bytes, size);
	if (fd >= 0)
		close(fd);
	return r < 0 ? error_set(f, r, "cannot write '%s': %s", path, strerror(-r)) : 0;
}

int state_file_write(const char *path, const uint8_t *bytes, size_t size, struct error *f)
{
	char *temporary = NULL;
	struct stat st;
	int fd = -1, r = 0;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return write_special(path, bytes, size, f);
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return error_set(f, -ENOMEM, "out of memory");
	fd = mkostemp(temporary, O_CLOEXEC);
	r = fd < 0 ? -errno : write_all(fd, bytes, size);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		error_set(f, r, "cannot write '%s': %s", path, strerror(-r));
	if (r < 0 && fd >= 0)
		unlink(temporary);
	if (fd >= 0)
		close(fd);
	free(temporary);
	return r;
}
