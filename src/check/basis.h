/*
 * Whose sentences cases try. On a vhost-vdpa file all of them are owed: it is there that clients
 * expect the suspend contract and the habits of Linux. A vhost-user back end owes what virtio and
 * the vhost-user document say, and nothing else: there a breach of the contract is told as a
 * difference, and what only Linux does is not tried.
 *
 * A sentence is written as the case has it: "virtio 2.7.8", "vhost-user GET_VRING_BASE",
 * "robustness", clauses ("S3 S6"), or a function of Linux.
 */
#ifndef UVDPA_CHECK_BASIS_H
#define UVDPA_CHECK_BASIS_H

#include <stdbool.h>

struct check_case;

enum basis {
	BASIS_VIRTIO,	  /* a MUST of the virtio specification */
	BASIS_VHOST_USER, /* one of the vhost-user document */
	BASIS_CONTRACT,	  /* the suspend contract */
	BASIS_LINUX,	  /* what Linux' vhost-vdpa does */
	BASIS_ROBUSTNESS, /* no sentence, but nobody wants it otherwise */
};

enum basis sentence_basis(const char *sentence);
/* What the sentence says; NULL: it is not in the table, which a test rules out. */
const char *sentence_words(const char *sentence);
/* By which sentence a case judges on a vhost-vdpa file, or on a socket. */
const char *case_sentence(const struct check_case *kase, bool socket);
enum basis case_basis(const struct check_case *kase, bool socket);
/* "virtio", "vhost-user", "contract", "linux", "robustness". */
const char *basis_word(enum basis basis);
/* Whether a breach is broken, and no mere difference. */
bool basis_is_must(enum basis basis, bool socket);

#endif
