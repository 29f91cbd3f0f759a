/* Reads /proc/PID/comm: see program.h. */
#include "client/program.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void program_of(pid_t pid, char text[PROGRAM_TEXT])
{
	char path[48], name[17] = "";
	ssize_t got = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		got = read(fd, name, sizeof(name) - 1);
		close(fd);
	}
	name[strcspn(name, "\n")] = '\0';
	for (char *c = name; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	text[0] = '\0';
	if (got > 0)
		snprintf(text, PROGRAM_TEXT, " (%s)", name);
}
