/* The verb `check`, all of which is in its own sub-room: check/check.h. */
#include "check/check.h"

#include "cmd/verb.h"

static void help_check(FILE *to)
{
	check_help(to);
}

const struct verb verb_check = {
	.name = "check",
	.summary = "try whether a vhost-vdpa device keeps the suspend contract",
	.help = help_check,
	.run = check_main,
};
