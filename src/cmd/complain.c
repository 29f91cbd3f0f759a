/* What is printed: texts of others, the one line of an error that a verb ends with, the end. */
#include "cmd/verb.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

void make_printable(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c < ' ' || *c == 0x7f)
			*c = '?';
		/* U+0080 to U+009F in UTF-8 */
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			c[0] = c[1] = '?';
	}
}

int complain(const struct error *f)
{
	char line[sizeof(f->text)];

	/* what the user typed, or a server answered, may hold anything; it stays one line */
	memcpy(line, f->text, sizeof(line));
	make_printable(line);
	fprintf(stderr, "uvdpa: %s\n", line);
	return EXIT_REFUSED;
}

int finish_output(int code)
{
	bool failed = ferror(stdout);
	struct error f;

	errno = 0;
	if (fflush(stdout) == 0 && !failed)
		return code;
	/* without an errno: it was an earlier write's, and is lost */
	error_set(&f, -EIO, "not all of the output could be written%s%s", errno ? ": " : "",
		  errno ? strerror(errno) : "");
	complain(&f);
	return code ? code : EXIT_REFUSED;
}
