/* For tests: what the server said in its log, whichever thread of it said it. */
#ifndef TEST_VHOST_USER_LOGGED_H
#define TEST_VHOST_USER_LOGGED_H

#include <stdbool.h>

/* From now on lines are kept here and go nowhere else. */
void logged_begin(void);
/* Forgets the lines so far. */
void logged_forget(void);
/* Whether one of them has this in it. */
bool logged(const char *text);
/* The same, waiting for it: the server says why it hangs up before or after it does. */
bool logged_soon(const char *text);
/* All of them, for whoever wants to know why a test failed. */
void logged_print(void);

#endif
