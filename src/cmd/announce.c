/* uvdpa announce: has a network card's driver make itself known. */
#include "cmd/client.h"
#include "cmd/verb.h"

static void help(FILE *to)
{
	fputs("Asks the driver of a network card to announce itself to the network (as with "
	      "gratuitous\n"
	      "ARP), now or when it is resumed: after its cable went somewhere else. The card has "
	      "to be\n"
	      "served with announce=on, and its driver to know of it (GUEST_ANNOUNCE).\n"
	      "\n"
	      "Usage: uvdpa announce NAME [--dir DIR] [--json]\n"
	      "\n" CLIENT_HELP CLIENT_HELP_EXIT ".\n",
	      to);
}

static void say(const struct client_options *options, const json_t *result)
{
	printf("%s is asked to announce itself\n", options->words[0]);
}

static int run(int argc, char **argv)
{
	return client_do_one(argc, argv, "announce", say);
}

const struct verb verb_announce = {
	.name = "announce",
	.summary = "have a network card's driver announce itself",
	.help = help,
	.run = run,
};
