/* What the files of the client process share. */
#ifndef UVDPA_CLIENT_PROCESS_INTERNAL_H
#define UVDPA_CLIENT_PROCESS_INTERNAL_H

#include <pthread.h>
#include <stddef.h>

#include "client/process.h"

struct process {
	pid_t pid;
	int dir;   /* /proc/PID: pins the number */
	int mem;   /* /proc/PID/mem: pins the address space */
	int maps;  /* /proc/PID/maps, likewise */
	int pidfd; /* for pidfd_getfd */
	_Atomic unsigned references;

	pthread_mutex_t lock; /* around the reading of maps, which has a position */
	char *text;	      /* a piece of maps */
};

/* process_mounts.c: whether the file system of this number (st_dev) is memory, or allowed. */
bool process_sees_memory(const struct process *process, uint64_t device);
/* Whether a page of a file there comes without somebody being asked for it: a process, a network.
 */
bool process_sees_answer(const struct process *process, uint64_t device);

#endif
