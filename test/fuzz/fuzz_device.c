/*
 * Fuzz target: a device under any sequence of verbs, kicks, completions,
 * refusals, deadlines and changes of its memory, with whatever in its rings.
 *
 * Checked after each: what device_internal.h says is always true, as far as it
 * can be seen from outside; the stage's watch over suspended devices (S4, S5);
 * and in the end that every verb was answered once and that a reset with
 * everything given back leaves a new device.
 *
 * An input is a byte of options and then operations, each a byte and what it
 * needs.
 */
#include "fuzz.h"

#include "lib/stage.h"
#include "util/log.h"
#include "wire/vhost.h"

static struct theatre theatre;
static struct stage stage;
static unsigned asked;

static void *ask(const char *words)
{
	asked++;
	return stage_done_arg(&stage, words);
}

static enum device_holder holder(uint8_t n)
{
	static const enum device_holder all[] = {HOLDER_DRIVER, HOLDER_OPERATOR, HOLDER_UPGRADE};

	return all[n % 3];
}

static void set_up_queue(struct food *food, unsigned queue)
{
	const struct vq *vq = &theatre.vqs[queue];
	uint8_t how = eat_byte(food);

	if (how & 1)
		device_set_vq_num(stage.device, queue, how & 2 ? eat_u16(food) : STAGE_NUM);
	if (how & 4)
		device_set_vq_address(stage.device, queue, vq->desc, vq->avail,
				      vq->used + (how & 8 ? eat_byte(food) : 0));
	if (how & 16)
		device_set_vq_state(stage.device, queue, how & 32 ? eat_u16(food) : vq->next_used);
	if (how & 64)
		device_set_vq_ready(stage.device, queue, how & 128, theatre.book.now, stage_done,
				    ask("ready"));
}

static void change_memory(struct food *food)
{
	struct ram *ram = &theatre.ram;
	uint8_t how = eat_byte(food);

	switch (how % 6) {
	case 0:
		device_dma_map(stage.device, how / 6 % 4, ram->iova, ram->size, ram->uaddr, 3);
		break;
	case 1:
		device_dma_unmap(stage.device, how / 6 % 4, 0, 0);
		break;
	case 2:
		device_dma_map(stage.device, 0, ram->iova + eat_u16(food), eat_u16(food),
			       ram->uaddr + eat_u16(food), how / 6 % 4);
		break;
	case 3:
		device_dma_unmap(stage.device, 0, ram->iova + eat_u16(food), eat_u16(food));
		break;
	case 4:
		device_dma_batch(stage.device, how & 64);
		break;
	default:
		device_set_client(stage.device, how & 64 ? &ram->memory : NULL);
	}
}

static void use_ring(struct food *food, unsigned queue)
{
	uint8_t how = eat_byte(food);
	uint8_t raw[8];

	switch (how % 4) {
	case 0:
		stage_post(&theatre, queue, how, how & 64 ? 16 : 0);
		break;
	case 1:
		vq_announce(&theatre.vqs[queue],
			    (uint16_t)(theatre.vqs[queue].next_avail + how / 4));
		break;
	case 2: /* anything anywhere in the rings */
		eat(food, raw, sizeof(raw));
		memcpy(ram_at(&theatre.ram, theatre.ram.iova + 0x1000 + eat_u16(food) % 1000, 8),
		       raw, 8);
		break;
	default:
		device_kick_vq(stage.device, queue);
		stage.wake[queue] = true;
	}
	stage_begin(&stage); /* what the driver wrote is not what the device wrote */
}

static void config(struct food *food)
{
	uint8_t how = eat_byte(food), bytes[SCRIPT_CONFIG_SIZE] = {0};

	if (how & 1)
		device_set_config(stage.device, how / 8, bytes, eat_byte(food) % sizeof(bytes));
	if (how & 2)
		device_get_config(stage.device, how / 8, bytes, eat_byte(food) % sizeof(bytes));
	if (how & 4)
		device_resize(stage.device, eat_u16(food), NULL);
}

static void finish(uint8_t how)
{
	if (!stage.model.held_count)
		return;
	stage.wake[stage.model.held[how % stage.model.held_count].request->queue] = true;
	stage.model.held[how % stage.model.held_count].finished = true;
	stage.model.held[how % stage.model.held_count].refusal = how & 128 ? "refused" : NULL;
}

static void take_status(uint8_t how)
{
	uint8_t old = device_get_status(stage.device);
	static const uint8_t steps[] = {1, 3, 0xb, 0xf, 4, 0x4f, 0x80, 0};

	if (how & 8)
		device_set_driver_features(stage.device, 1ull << VIRTIO_F_VERSION_1 |
								 1ull << VIRTIO_F_ACCESS_PLATFORM |
								 (uint64_t)(how & 0x30) << 24);
	device_set_status(stage.device, how & 64 ? steps[how % 8] : old | steps[how % 8],
			  theatre.book.now);
}

/* One operation on the device. Passes and settling happen only now and then. */
static void operate(struct food *food)
{
	uint8_t what = eat_byte(food), how = eat_byte(food);
	unsigned queue = how % 2;
	uint32_t base;

	switch (what % 13) {
	case 0:
		take_status(how);
		break;
	case 1:
		set_up_queue(food, queue);
		break;
	case 2:
		change_memory(food);
		break;
	case 3:
		use_ring(food, queue);
		break;
	case 4:
		device_suspend(stage.device, holder(how), theatre.book.now, how, stage_done,
			       ask("suspend"));
		break;
	case 5:
		device_resume(stage.device, holder(how));
		break;
	case 6:
		device_reset(stage.device, EV_DRIVER_RESET + how % 3, theatre.book.now, stage_done,
			     ask("reset"));
		break;
	case 7:
		finish(how);
		break;
	case 8:
		config(food);
		break;
	case 9:
		theatre.book.now += how;
		device_deadline(stage.device, theatre.book.now);
		break;
	case 10:
		device_get_vq_state(stage.device, queue, &base);
		device_set_group_asid(stage.device, how / 2 % 4, how / 8 % 4);
		break;
	case 11:
		if (device_run_queue(stage.device, queue, how / 2 % 8))
			stage.wake[queue] = true;
		break;
	default:
		device_settle(stage.device);
		stage.settle = false;
	}
}

/* What is always true (device_internal.h). */
static void check(void)
{
	enum device_state state = device_state(stage.device);
	unsigned in_flight = device_in_flight(stage.device);
	unsigned holders = device_holders(stage.device);

	assert(in_flight == stage.model.held_count);
	if (state == STATE_RUNNING)
		assert(!holders);
	if (state == STATE_SUSPENDED || state == STATE_SUSPENDING)
		assert(holders);
	if (state == STATE_SUSPENDED || state == STATE_RESET)
		assert(!in_flight);
	if (state == STATE_RESET)
		assert(!device_get_status(stage.device) && !(holders & HOLDER_DRIVER));
	if (state == STATE_BROKEN)
		assert(device_get_status(stage.device) & VIRTIO_CONFIG_S_NEEDS_RESET &&
		       *device_broken_reason(stage.device));
	/* Whoever waits, waits for something, with a deadline. */
	if (stage.answered < asked)
		assert(stage.deadline);
	assert(stage.answered <= asked);
	assert(!strstr(theatre.book.text, "VIOLATION"));
	theatre.book.size = 0;
	theatre.book.text[0] = '\0';
}

/* Everything is given back and everybody lets go: a new device remains. */
static void finish_all(void)
{
	device_resume(stage.device, HOLDER_OPERATOR);
	device_resume(stage.device, HOLDER_UPGRADE);
	device_reset(stage.device, EV_DRIVER_GONE, theatre.book.now, stage_done, ask("gone"));
	while (stage.model.held_count) {
		finish(0);
		stage_run(&stage);
	}
	stage_run(&stage);
	assert(device_state(stage.device) == STATE_RESET);
	assert(stage.answered == asked && !stage.deadline);
	check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct food food = {data, size};
	uint8_t options = eat_byte(&food);
	struct stage_options wanted = {.name = "fuzz",
				       .queues = 2,
				       .kind = options & 1 ? RAM_COPIED : RAM_MAPPED,
				       .timeout_ms = 100};

	log_set_level(LOG_LEVEL_ERROR - 1);
	asked = 0;
	theatre_init(&theatre, &wanted);
	theatre.book.now = 1;
	stage_init(&stage, &theatre, &wanted);
	stage.model.instant = options & 2;
	if (options & 4) {
		stage_up(&stage);
		asked = stage.answered;
	}
	check();
	for (unsigned limit = 0; food.left && limit < 300; limit++) {
		stage_begin(&stage);
		operate(&food);
		if (options & 8)
			stage_end(&stage);
		check();
	}
	finish_all();
	stage_destroy(&stage);
	theatre_destroy(&theatre);
	return 0;
}
