/*
 * For files of runtime/ only: worker groups that have a name, which devices share
 * (runtime/group.h). A name holds in the whole process; its worker group comes with the first
 * worker context and goes with the last one.
 */
#ifndef UVDPA_RUNTIME_REGISTRY_H
#define UVDPA_RUNTIME_REGISTRY_H

#include "runtime/group.h"
#include "util/error.h"

/*
 * The worker group of this name, found or started; to be given back. `cpu`: the processor that its
 * worker is to run on, NULL: any. One user's wish holds for all: -EINVAL if another one wants
 * another.
 */
int registry_take(const char *name, const unsigned *cpu, struct worker_group **group,
		  struct error *err);
/* The caller's worker context has left. */
void registry_give_back(struct worker_group *group);

#endif
