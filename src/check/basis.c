/*
 * Whose sentences cases try, and what these say: see basis.h.
 *
 * The words are ours. Sections of virtio are those of version 1.3; those of the vhost-user document
 * (QEMU docs/interop/vhost-user) are named by the message or the heading under which they stand.
 */
#include "check/basis.h"

#include <stdio.h>
#include <string.h>

#include "check/case.h"

static const struct {
	const char *name, *words;
} sentences[] = {
	{"virtio 2.1", "the status is what was set; setting it again changes nothing"},
	{"virtio 2.4.1",
	 "a reset ends at status 0; from then on nothing is read or written and nobody notified"},
	{"virtio 2.5", "a driver reads config space, and writes only what is its to write"},
	{"virtio 2.7", "a request that is available and kicked for is used, once, and as a whole"},
	{"virtio 2.7.4", "a device does not depend on how a request is cut into descriptors"},
	{"virtio 2.7.5", "a device writes to device-writable buffers and to nothing else"},
	{"virtio 2.7.5.3", "indirect tables are read as a part of their chain, and never written"},
	{"virtio 2.7.6", "ring indexes count modulo 65536, and entries modulo the queue's size"},
	{"virtio 2.7.7", "a driver that asks for no used buffer notification may get one"},
	{"virtio 2.7.8", "a used entry is in the ring, with its length, before the index shows it"},
	{"virtio 2.7.9",
	 "with IN_ORDER buffers are used in the order in which they were available"},
	{"virtio 2.7.10", "notifications are asked for by flags or, with EVENT_IDX, by event "
			  "indexes, and come then"},
	{"virtio 2.7.13", "a device tells by the used ring what it has done, and by nothing else"},
	{"virtio 2.8.1",
	 "wrap counters flip at the end of a ring, in descriptors and in positions"},
	{"virtio 3.1.1",
	 "the driver chooses among the features offered; no queue is processed before DRIVER_OK"},
	{"virtio 5.1.6", "a frame is sent once; a receive buffer takes a frame as it came"},
	{"virtio 5.1.6.5", "commands of the control queue are done or refused, and acknowledged"},
	{"virtio 5.1.6.5.1", "the receive filter lets through what it was told to"},
	{"virtio 5.1.6.5.5", "the number of pairs is what was set, or the command is refused"},
	{"virtio 5.2.6",
	 "a disk does what a request says, and its status byte says whether it did"},
	{"virtio 5.2.6.2", "a request that the device does not know ends with UNSUPP"},
	{"vhost-user messages", "an answer is of the request's kind, flagged, and comes once"},
	{"vhost-user ring states",
	 "a stopped ring is not processed, nor is its memory written; it starts anew by a kick"},
	{"vhost-user GET_VRING_BASE", "it stops the ring: what was taken is completed and shown "
				      "before the answer, which is where "
				      "the ring stands"},
	{"vhost-user SET_VRING_BASE", "a ring goes on at the base that it is given"},
	{"vhost-user SET_VRING_NUM", "a ring has the size that it is given, if that is accepted"},
	{"vhost-user SET_VRING_CALL", "used buffers are announced by the descriptor given last"},
	{"vhost-user SET_VRING_KICK",
	 "available buffers are announced by the descriptor given last"},
	{"vhost-user ADD_MEM_REG", "a region that is accepted can be used from then on"},
	{"vhost-user GET_CONFIG",
	 "the answer has the bytes at the offset that was asked for, or no payload"},
	{"vhost-user SET_CONFIG", "a write of what a driver may not write is not accepted"},
	{"robustness", "no nonsense of a driver harms anybody but itself (no sentence says so)"},
	{"S1", "suspend and resume answer as their numbers and their backend feature bits say"},
	{"S2", "while suspended no descriptor is taken from any queue"},
	{"S3", "before suspend returns all that was taken is finished, published and announced"},
	{"S4", "while suspended nothing is written to guest memory"},
	{"S5", "while suspended nothing is announced, and config space stands still"},
	{"S6", "GET_VRING_BASE answers where processing stopped, however often it is asked"},
	{"S7", "config space and status can be read, and written, as if not suspended"},
	{"S8", "nothing that was announced is forgotten: resume acts on it without a further kick"},
	{"S9", "suspend is idempotent, also for two callers at once"},
	{"S10", "suspend is bounded: it succeeds in time, or fails and the device runs on"},
	{"S11", "resume continues where suspend stopped; only resume, reset and release end it"},
	{"S12", "the bases, set in another device, continue the work: nothing lost or done twice"},
	{"S13", "a reset or the driver's end while suspended leaves a device that can run"},
	{"S14", "several parties may hold a device suspended; it runs when none does"},
};

static bool is_clause(const char *word)
{
	return word[0] == 'S' && word[1] >= '0' && word[1] <= '9';
}

/* The first clause of the contract in a list of words; NULL: none. */
static const char *find_clause(const char *words)
{
	for (const char *w = words; w; w = strchr(w, ' ') ? strchr(w, ' ') + 1 : NULL)
		if (is_clause(w))
			return w;
	return NULL;
}

enum basis sentence_basis(const char *sentence)
{
	if (strncmp(sentence, "virtio", 6) == 0)
		return BASIS_VIRTIO;
	if (strncmp(sentence, "vhost-user", 10) == 0)
		return BASIS_VHOST_USER;
	if (strcmp(sentence, "robustness") == 0)
		return BASIS_ROBUSTNESS;
	return find_clause(sentence) ? BASIS_CONTRACT : BASIS_LINUX;
}

const char *case_sentence(const struct check_case *kase, bool socket)
{
	return socket && kase->user ? kase->user : kase->clause;
}

enum basis case_basis(const struct check_case *kase, bool socket)
{
	return sentence_basis(case_sentence(kase, socket));
}

const char *basis_word(enum basis basis)
{
	static const char *const words[] = {"virtio", "vhost-user", "contract", "linux",
					    "robustness"};

	return words[basis];
}

bool basis_is_must(enum basis basis, bool socket)
{
	return !socket || basis == BASIS_VIRTIO || basis == BASIS_VHOST_USER;
}

static bool names(const char *sentence, const char *name)
{
	size_t n = strlen(name);

	return strncmp(sentence, name, n) == 0 && (!sentence[n] || sentence[n] == ' ');
}

const char *sentence_words(const char *sentence)
{
	const char *clause = find_clause(sentence);

	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
		if (names(sentence, sentences[i].name) ||
		    (clause && names(clause, sentences[i].name)))
			return sentences[i].words;
	return sentence_basis(sentence) == BASIS_LINUX
		       ? "what Linux' vhost-vdpa answers, which its "
			 "clients are used to"
		       : NULL;
}
