/* Worker groups by name: see registry.h. */
#include "runtime/registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	struct entry *next;
	struct worker_group *group;
	unsigned users;
	bool pinned;
	unsigned cpu;
	char name[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries; /* [lock], and what is in them */

/* With a worker, and no users yet. */
static int add(const char *name, struct entry **out, struct error *err)
{
	struct entry *entry = calloc(1, sizeof(*entry) + strlen(name) + 1);
	int ret;

	if (!entry)
		return error_set(err, -ENOMEM, "no memory for worker '%s'", name);
	memcpy(entry->name, name, strlen(name) + 1);
	ret = group_new(name, &entry->group, err);
	if (ret) {
		free(entry);
		return ret;
	}
	entry->next = entries;
	entries = entry;
	*out = entry;
	return 0;
}

static int pin(struct entry *entry, unsigned cpu, struct error *err)
{
	int ret;

	if (entry->pinned && entry->cpu != cpu)
		return error_set(
			err, -EINVAL,
			"worker '%s' runs on processor %u, as another device wants it, and "
			"cannot run on %u",
			entry->name, entry->cpu, cpu);
	ret = worker_pin(entry->group->worker, cpu);
	if (ret)
		return error_set(err, ret, "worker '%s' cannot run on processor %u: %s",
				 entry->name, cpu, strerror(-ret));
	entry->pinned = true;
	entry->cpu = cpu;
	return 0;
}

/* Takes it out of the list if nobody uses it. Returns what is then to be freed without the lock. */
static struct entry *drop(struct entry *entry)
{
	struct entry **at = &entries;

	if (entry->users)
		return NULL;
	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	return entry;
}

static void dispose(struct entry *entry)
{
	if (!entry)
		return;
	group_free(entry->group);
	free(entry);
}

int registry_take(const char *name, const unsigned *cpu, struct worker_group **group,
		  struct error *err)
{
	struct entry *entry, *unused = NULL;
	int ret = 0;

	pthread_mutex_lock(&lock);
	for (entry = entries; entry && strcmp(entry->name, name);)
		entry = entry->next;
	if (!entry)
		ret = add(name, &entry, err);
	if (!ret && cpu)
		ret = pin(entry, *cpu, err);
	if (!ret) {
		entry->users++;
		*group = entry->group;
	} else if (entry) {
		unused = drop(entry);
	}
	pthread_mutex_unlock(&lock);
	dispose(unused);
	return ret;
}

void registry_give_back(struct worker_group *group)
{
	struct entry *entry, *unused;

	pthread_mutex_lock(&lock);
	for (entry = entries; entry->group != group;)
		entry = entry->next;
	entry->users--;
	unused = drop(entry);
	pthread_mutex_unlock(&lock);
	dispose(unused);
}
