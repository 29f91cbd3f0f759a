/* What the story player and the verbs of a network card share. */
#ifndef UVDPA_TEST_STORY_H
#define UVDPA_TEST_STORY_H

#include "lib/stage.h"

#define WORDS_MAX 24

struct play {
	const char *path;
	struct theatre theatre;
	struct stage_options options;
	struct stage stages[2];
	unsigned stage_count;
	struct stage *on; /* whose verb it is */
	char *word[WORDS_MAX];
	unsigned words;
	unsigned line; /* in the file */
	bool print, copied, failed;
	bool net; /* the devices are network cards */
};

struct story_verb {
	const char *name;
	void (*run)(struct play *play);
};

/* For verbs: a mistake in the story ends it. */
void story_die(const struct play *play, const char *what);
const char *story_arg(const struct play *play, unsigned i);
unsigned story_number(const struct play *play, unsigned i);
/* "WHAT: success" or the error's name, to the book. */
void story_tell(struct play *play, const char *what, int result);

/* story_net.c: a card of one pair over a cable that the story fills; verbs, NULL at the end. */
extern const struct story_verb story_net_verbs[];
struct model *story_net_model(struct play *play, unsigned index);

/* story_park.c: requests that are handed over in flight. */
extern const struct story_verb story_park_verbs[];

#endif
