/*
 * Fuzz target: saved states of any content. The check is made to fit, so that all behind it is
 * reached; what is taken has to come out the same when written and read again, and a device takes
 * it or refuses it whole.
 */
#include "fuzz.h"

#include <stdlib.h>

#include "device/state.h"
#include "lib/stage.h"
#include "util/bytes.h"
#include "util/crc.h"

static const struct stage_options options = {
	.name = "dev", .queues = 2, .kind = RAM_MAPPED, .timeout_ms = 1000};

/* The sizes and the check of `bytes` are set right, mostly. */
static void seal(uint8_t *bytes, size_t size)
{
	if (size < 20 || bytes[size - 1] == 0xff)
		return;
	store_le32(bytes + 12, (uint32_t)size);
	store_le32(bytes + size - 4, crc_of(bytes, size - 4));
}

/* As if the rings were those of the stage, so that they are gone on from. */
static void adopt_rings(struct device_snapshot *snapshot, const struct theatre *theatre)
{
	for (unsigned q = 0; q < 2; q++) {
		snapshot->queues[q].size = theatre->vqs[q].num;
		snapshot->queues[q].desc = theatre->vqs[q].desc;
		snapshot->queues[q].driver = theatre->vqs[q].avail;
		snapshot->queues[q].used = theatre->vqs[q].used;
	}
}

static void use(struct device_snapshot *snapshot)
{
	static struct theatre theatre;
	static struct stage stage;
	struct error f = {0};
	int r;

	theatre_init(&theatre, &options);
	if (snapshot->status & 0x80)
		adopt_rings(snapshot, &theatre);
	stage_init(&stage, &theatre, &options);
	r = device_restore(stage.device, snapshot, &f);
	assert((r == 0) == device_is_restored(stage.device));
	assert(r == 0 || f.text[0]);
	for (unsigned tag = 0; tag < 4; tag++)
		stage_post(&theatre, tag & 1, tag, 16);
	/* what the driver saw as used when the state was saved */
	for (unsigned q = 0; q < 2; q++)
		theatre.vqs[q].next_used = (uint16_t)snapshot->queues[q].base;
	stage_up(&stage);
	stage_run(&stage);
	stage_destroy(&stage);
	theatre_destroy(&theatre);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct device_snapshot *one = malloc(sizeof(*one)), *two = malloc(sizeof(*two));
	uint8_t *bytes = malloc(STATE_MAX_BYTES + 1);
	struct error f = {0};
	int r;

	assert(one && two && bytes);
	if (size > STATE_MAX_BYTES)
		size = STATE_MAX_BYTES;
	memcpy(bytes, data, size);
	seal(bytes, size);
	r = state_decode(bytes, size, one, &f);
	assert(r == 0 || f.text[0]);
	if (r == 0) {
		one->version = STATE_VERSION;
		r = state_decode(bytes, state_encode(one, bytes), two, &f);
		assert(r == 0 && !memcmp(one, two, sizeof(*one)));
		use(one);
	}
	free(bytes);
	free(two);
	free(one);
	return 0;
}
