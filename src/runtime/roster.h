/*
 * For files of runtime/ only: crews that have a name, which devices share (runtime/crew.h). A name
 * holds in the whole process; its crew comes with the first worker context and goes with the last
 * one.
 */
#ifndef UVDPA_RUNTIME_ROSTER_H
#define UVDPA_RUNTIME_ROSTER_H

#include "runtime/crew.h"
#include "util/fault.h"

/*
 * The crew of this name, found or started; to be given back. `cpu`: the processor that its worker
 * is to run on, NULL: any. One user's wish holds for all: -EINVAL if another one wants another.
 */
int roster_take(const char *name, const unsigned *cpu, struct crew **crew, struct fault *fault);
/* The caller's worker context has left. */
void roster_give_back(struct crew *crew);

#endif
