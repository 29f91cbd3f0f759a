/*
 * For tests of what is refused: each attempt has a connection of its own, and afterwards the log is
 * looked at, and whether the server has let go of everything and takes the next client. Include
 * cmocka.h first.
 */
#ifndef TEST_VHOST_USER_REFUSING_H
#define TEST_VHOST_USER_REFUSING_H

#include "vhost_user/disk.h"
#include "vhost_user/front.h"

/* A disk with two queues of 256 for the whole program. */
int refusing_set_up(void **state);
int refusing_tear_down(void **state);
const char *refusing_path(void);
struct disk *refusing_disk(void);

/* The message ends the connection, with these words in the log. */
void refusing_hang_up(const struct front_message *message, const char *says);
/* The message is answered with that error, with these words in the log; the connection stays. */
void refusing_error(uint32_t request, const void *payload, uint32_t size, const int *fds,
		    unsigned fd_count, int error, const char *says);

/* Counts what there is: after this, refusing_settle() wants to see as much again. */
void refusing_begin(void);
/* Every client is gone, of which no descriptor and no mapping is left; the next one is served. */
void refusing_settle(void);
/* These words are in the log, or will be soon. */
void refusing_says(const char *words);

#endif
