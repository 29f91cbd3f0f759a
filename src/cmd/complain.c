/* Texts of others on a terminal, and the one line of an error that a verb ends with. */
#include "cmd/verb.h"

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

int complain(const struct fault *f)
{
	char line[sizeof(f->text)];

	/* what the user typed, or a server answered, may hold anything; it stays one line */
	memcpy(line, f->text, sizeof(line));
	make_printable(line);
	fprintf(stderr, "uvdpa: %s\n", line);
	return EXIT_REFUSED;
}
