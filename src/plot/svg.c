/*
 * Drawing: a panel per trace over one axis of time, bars up for what came in
 * and down for what went out, the standstill as a band through all panels, and
 * the marks as numbers, which a list below explains: many of them are within a
 * millisecond, where no text would find room.
 *
 * Colours are classes, so that one file is right on light and dark pages.
 */
#include "plot/plot.h"

#include <string.h>

#define WIDTH	    960
#define LEFT	    64.0
#define RIGHT	    936.0
#define TOP	    92.0
#define NUMBERS	    30.0 /* the strip of numbers above a panel */
#define PANEL	    150.0
#define BETWEEN	    54.0
#define ROW	    21.0
#define MOST_BINS   400
#define NUMBER_SIZE 9.0

struct picture {
	const struct plot *plot;
	FILE *to;
	uint64_t bin_ms; /* of a bar */
	uint64_t most;	 /* what half a panel's height stands for */
	double axis_y;	 /* below the last panel */
	double ms_per_tick;
};

static const char style[] =
	"<style>\n"
	"text { font-family: system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif; "
	"font-size: 13px; fill: #1f2328; }\n"
	".bg { fill: #ffffff; }\n"
	".title { font-size: 18px; font-weight: 600; }\n"
	".head { font-weight: 600; }\n"
	".muted { fill: #59636e; }\n"
	".small { font-size: 12px; }\n"
	".end { text-anchor: end; }\n"
	".mid { text-anchor: middle; }\n"
	".in { fill: #0969da; }\n"
	".out { fill: #bc4c00; }\n"
	".grid { stroke: #d1d9e0; stroke-width: 1; fill: none; }\n"
	".axis { stroke: #818b98; stroke-width: 1; fill: none; }\n"
	".mark { stroke: #59636e; stroke-width: 1; stroke-dasharray: 3 3; fill: none; }\n"
	".band { fill: #d1242f; fill-opacity: 0.10; }\n"
	".gap { fill: #b3151f; font-weight: 600; }\n"
	".span { stroke: #b3151f; stroke-width: 1.5; fill: none; }\n"
	".dot { fill: #1f2328; }\n"
	".n { fill: #ffffff; font-size: 11px; font-weight: 600; text-anchor: middle; }\n"
	"@media (prefers-color-scheme: dark) {\n"
	"text { fill: #e6edf3; }\n"
	".bg { fill: #0d1117; }\n"
	".muted { fill: #9198a1; }\n"
	".in { fill: #4493f8; }\n"
	".out { fill: #f0883e; }\n"
	".grid { stroke: #2a313c; }\n"
	".axis { stroke: #656c76; }\n"
	".mark { stroke: #9198a1; }\n"
	".band { fill: #f85149; fill-opacity: 0.18; }\n"
	".gap { fill: #ff7b72; }\n"
	".span { stroke: #ff7b72; }\n"
	".dot { fill: #e6edf3; }\n"
	".n { fill: #0d1117; }\n"
	"}\n"
	"</style>\n";

/* Text that a file brought: what means something to SVG does not in here. */
static void put_text(FILE *to, const char *text)
{
	for (const char *p = text; *p; p++) {
		if (*p == '<')
			fputs("&lt;", to);
		else if (*p == '>')
			fputs("&gt;", to);
		else if (*p == '&')
			fputs("&amp;", to);
		else if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			fputc('?', to);
		else
			fputc(*p, to);
	}
}

static double x_of(const struct plot *plot, uint64_t at_ns)
{
	double part =
		((double)at_ns - (double)plot->from_ns) / (double)(plot->to_ns - plot->from_ns);

	part = part < 0 ? 0 : part > 1 ? 1 : part;
	return LEFT + part * (RIGHT - LEFT);
}

static double panel_top(unsigned index)
{
	return TOP + NUMBERS + index * (PANEL + NUMBERS + BETWEEN);
}

/* 1, 2, 5, 10, 20, ...: the smallest that is at least this. */
static double round_up(double least)
{
	double step = 1;

	while (step < least && step < 1e15) {
		if (2 * step >= least)
			return 2 * step;
		if (5 * step >= least)
			return 5 * step;
		step *= 10;
	}
	return step;
}

static uint64_t bin_of(const struct picture *p, const struct file_slot *slot)
{
	return slot->at_ms / p->bin_ms;
}

static bool is_shown(const struct plot *plot, const struct trace_file *trace,
		     const struct file_slot *slot)
{
	return (slot->at_ms + trace->slot_ms) * 1000000 > plot->from_ns &&
	       slot->at_ms * 1000000 < plot->to_ns;
}

/* Adds up the slots of one bar, from *at on. */
static struct file_slot add_bin(const struct picture *p, const struct trace_file *trace, size_t *at)
{
	struct file_slot sum = {bin_of(p, &trace->slots[*at]) * p->bin_ms, 0, 0};

	for (; *at < trace->slot_count && trace->slots[*at].at_ms < sum.at_ms + p->bin_ms; ++*at) {
		sum.in += trace->slots[*at].in;
		sum.out += trace->slots[*at].out;
	}
	return sum;
}

/* How long a bar is. What is shown begins and ends with one. */
static void choose_bins(struct picture *p, struct plot *plot)
{
	uint64_t slot_ms = plot->panels[0].trace->slot_ms, bin_ns;
	double slots = (double)(plot->to_ns - plot->from_ns) / 1e6 / (double)slot_ms;

	p->bin_ms = slot_ms * (uint64_t)round_up(slots / MOST_BINS);
	bin_ns = p->bin_ms * 1000000;
	plot->from_ns -= plot->from_ns % bin_ns;
	plot->to_ns += bin_ns - 1 - (plot->to_ns - 1) % bin_ns;
}

static void choose_scale(struct picture *p)
{
	const struct plot *plot = p->plot;
	double span_ms = (double)(plot->to_ns - plot->from_ns) / 1e6;
	uint64_t most = 1;

	for (unsigned i = 0; i < plot->panel_count; i++) {
		const struct trace_file *trace = plot->panels[i].trace;
		size_t at = 0;

		while (at < trace->slot_count) {
			bool shown = is_shown(plot, trace, &trace->slots[at]);
			struct file_slot sum = add_bin(p, trace, &at);
			uint64_t higher = sum.in > sum.out ? sum.in : sum.out;

			most = shown && higher > most ? higher : most;
		}
	}
	p->most = (uint64_t)round_up((double)most);
	/* 1, 2, 5 leave much room above 2.1: 3 and 4 are round enough for a scale, too */
	for (unsigned n = 3; n <= 8; n++)
		if (p->most >= 10 && p->most / 10 * n >= most) {
			p->most = p->most / 10 * n;
			break;
		}
	p->ms_per_tick = round_up(span_ms / 12);
	p->axis_y = panel_top(plot->panel_count - 1) + PANEL;
}

static void bar(const struct picture *p, const char *class, double x, double width, double middle,
		uint64_t n, bool up)
{
	double height = (double)n / (double)p->most * PANEL / 2;

	if (n)
		fprintf(p->to,
			"<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
			"height=\"%.1f\"/>\n",
			class, x, up ? middle - height : middle, width, height);
}

static void draw_bars(const struct picture *p, unsigned index)
{
	const struct trace_file *trace = p->plot->panels[index].trace;
	double middle = panel_top(index) + PANEL / 2;
	size_t at = 0;

	while (at < trace->slot_count) {
		bool shown = is_shown(p->plot, trace, &trace->slots[at]);
		struct file_slot sum = add_bin(p, trace, &at);
		double left = x_of(p->plot, sum.at_ms * 1000000);
		double width = x_of(p->plot, (sum.at_ms + p->bin_ms) * 1000000) - left;
		double air = width > 4 ? 1 : 0;

		if (!shown)
			continue;
		bar(p, "in", left, width - air, middle, sum.in, true);
		bar(p, "out", left, width - air, middle, sum.out, false);
	}
}

static void line(const struct picture *p, const char *class, double x1, double y1, double x2,
		 double y2)
{
	fprintf(p->to, "<path class=\"%s\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", class, x1, y1, x2, y2);
}

static void text_at(const struct picture *p, const char *class, double x, double y,
		    const char *text)
{
	fprintf(p->to, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", class, x, y);
	put_text(p->to, text);
	fputs("</text>\n", p->to);
}

/* Vertical lines at round times, and below the last panel what they are. */
static void draw_ticks(const struct picture *p)
{
	const struct plot *plot = p->plot;
	double zero = (double)plot->move.zero_ns, step = p->ms_per_tick * 1e6;
	bool seconds = p->ms_per_tick >= 1000;
	char text[40];

	/* from_ns is not after zero: the cut goes up */
	for (int64_t k = (int64_t)(((double)plot->from_ns - zero) / step);; k++) {
		double at = zero + (double)k * step;
		double x;

		if (at > (double)plot->to_ns)
			break;
		x = x_of(plot, (uint64_t)at);
		for (unsigned i = 0; i < plot->panel_count; i++)
			line(p, "grid", x, panel_top(i), x, panel_top(i) + PANEL);
		snprintf(text, sizeof(text), "%g",
			 (double)k * p->ms_per_tick / (seconds ? 1000 : 1));
		text_at(p, "small muted mid", x, p->axis_y + 17, text);
	}
	snprintf(text, sizeof(text), "%s since %s", seconds ? "s" : "ms",
		 plot->move.suspend_ns ? "suspension was asked for"
		 : plot->move.found    ? "the last of them"
				       : "the beginning");
	text_at(p, "small muted end", RIGHT, p->axis_y + 34, text);
}

static void draw_scale(const struct picture *p, unsigned index)
{
	double top = panel_top(index);
	char text[32];

	line(p, "axis", LEFT, top + PANEL / 2, RIGHT, top + PANEL / 2);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)p->most);
	text_at(p, "small muted end", LEFT - 8, top + 5, text);
	text_at(p, "small muted end", LEFT - 8, top + PANEL / 2 + 4, "0");
	text_at(p, "small muted end", LEFT - 8, top + PANEL + 4, text);
}

static const char *role(const struct plot *plot, unsigned index)
{
	if (!plot->move.found || plot->panel_count < 2 || plot->move.source == plot->move.target)
		return "";
	return index == plot->move.source ? "source" : "destination";
}

static void draw_head(const struct picture *p, unsigned index)
{
	const struct plot_panel *panel = &p->plot->panels[index];
	const char *what = role(p->plot, index);
	char text[128];

	snprintf(text, sizeof(text), "%s%s%.48s", what, *what ? ": " : "", panel->trace->name);
	text_at(p, "head", LEFT, panel_top(index) - NUMBERS - 4, text);
}

/* A number in a dot. */
static void draw_number(const struct picture *p, double x, double y, unsigned number)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", number);
	fprintf(p->to, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>\n", x, y,
		NUMBER_SIZE);
	text_at(p, "n", x, y + 4, text);
}

static void draw_marks(const struct picture *p, unsigned index)
{
	struct plot_panel panel = p->plot->panels[index];
	double top = panel_top(index), y = top - NUMBERS / 2 - 2;

	for (unsigned i = 0; i < panel.mark_count; i++)
		panel.marks[i].x = x_of(p->plot, panel.marks[i].at_ns);
	plot_spread(panel.marks, panel.mark_count, 2 * NUMBER_SIZE + 3, LEFT + NUMBER_SIZE,
		    RIGHT - NUMBER_SIZE);
	for (unsigned i = 0; i < panel.mark_count; i++) {
		const struct plot_mark *mark = &panel.marks[i];

		line(p, "mark", mark->x, top, mark->x, top + PANEL);
		line(p, "axis", mark->label_x, y + NUMBER_SIZE, mark->x, top);
		draw_number(p, mark->label_x, y, panel.mark_first + i);
	}
}

/* The time in which nothing went through. */
static void draw_band(const struct picture *p)
{
	const struct plot_move *move = &p->plot->move;
	double left = x_of(p->plot, move->last_ns), right = x_of(p->plot, move->first_ns);
	double y = p->plot->panel_count > 1 ? panel_top(0) + PANEL + 14 : p->axis_y + 30;
	double middle = (left + right) / 2;
	char text[96];

	if (!move->found)
		return;
	fprintf(p->to,
		"<rect class=\"band\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
		left, panel_top(0), right - left > 1 ? right - left : 1, p->axis_y - panel_top(0));
	snprintf(text, sizeof(text), "%.1f ms without %s%s",
		 (double)(move->first_ns - move->last_ns) / 1e6, p->plot->panels[0].trace->unit,
		 move->open ? " so far" : "");
	middle = middle < LEFT + 90 ? LEFT + 90 : middle > RIGHT - 90 ? RIGHT - 90 : middle;
	line(p, "span", left, y, right, y);
	line(p, "span", left, y - 4, left, y + 4);
	if (!move->open)
		line(p, "span", right, y - 4, right, y + 4);
	text_at(p, "gap mid", middle, y + 17, text);
}

/* The list below: a column per panel. */
static void draw_list(const struct picture *p, double y)
{
	double width = (RIGHT - LEFT) / p->plot->panel_count;
	char text[96], time[48];

	for (unsigned i = 0; i < p->plot->panel_count; i++) {
		const struct plot_panel *panel = &p->plot->panels[i];
		double x = LEFT + i * width, at = y;

		for (unsigned m = 0; m < panel->mark_count; m++, at += ROW) {
			const struct plot_mark *mark = &panel->marks[m];
			double ms = ((double)mark->at_ns - (double)p->plot->move.zero_ns) / 1e6;

			plot_describe(p->plot, panel, mark, text, sizeof(text));
			snprintf(time, sizeof(time), "%+.3f ms", ms);
			draw_number(p, x + NUMBER_SIZE, at - 4, panel->mark_first + m);
			text_at(p, "muted end", x + 128, at, time);
			text_at(p, "", x + 140, at, text);
		}
	}
}

/* What of the standstill the devices themselves took; -1: not known. */
static double own_ms(const struct plot_move *move)
{
	if (!move->suspend_ns || !move->start_ns)
		return -1;
	return (double)(move->stop_ns - move->suspend_ns + move->running_ns - move->start_ns) / 1e6;
}

static void draw_title(const struct picture *p)
{
	const struct plot_move *move = &p->plot->move;
	const struct trace_file *trace = p->plot->panels[0].trace;
	bool moved = p->plot->panel_count > 1 && move->source != move->target;
	char text[256], calls[64] = "";

	snprintf(text, sizeof(text), "%.48s %s", trace->name,
		 !move->found ? "at work"
		 : moved      ? "moves"
		 : move->open ? "stands still"
			      : "stands still and goes on");
	text_at(p, "title", LEFT, 34, text);
	snprintf(text, sizeof(text), "%s per %llu ms", trace->unit, (unsigned long long)p->bin_ms);
	if (move->calls)
		snprintf(calls, sizeof(calls), " (all %llu calls: %.1f ms)",
			 (unsigned long long)move->calls, (double)move->call_ns / 1e6);
	if (move->found && own_ms(move) >= 0)
		snprintf(text, sizeof(text),
			 "%s per %llu ms. Of %.1f ms without any, %s took %.3f ms to stand still "
			 "and "
			 "to run again%s.",
			 trace->unit, (unsigned long long)p->bin_ms,
			 (double)(move->first_ns - move->last_ns) / 1e6,
			 moved ? "the two devices" : "the device", own_ms(move), calls);
	text_at(p, "muted", LEFT, 56, text);
	fprintf(p->to, "<rect class=\"in\" x=\"%.1f\" y=\"24\" width=\"11\" height=\"11\"/>\n",
		RIGHT - 222);
	snprintf(text, sizeof(text), "%s (up)", trace->in);
	text_at(p, "small", RIGHT - 206, 34, text);
	fprintf(p->to, "<rect class=\"out\" x=\"%.1f\" y=\"24\" width=\"11\" height=\"11\"/>\n",
		RIGHT - 104);
	snprintf(text, sizeof(text), "%s (down)", trace->out);
	text_at(p, "small", RIGHT - 88, 34, text);
}

void plot_draw(struct plot *plot, FILE *to)
{
	struct picture p = {.plot = plot, .to = to};
	unsigned rows = 0;
	double height;

	choose_bins(&p, plot);
	choose_scale(&p);
	for (unsigned i = 0; i < plot->panel_count; i++)
		rows = plot->panels[i].mark_count > rows ? plot->panels[i].mark_count : rows;
	height = p.axis_y + 72 + rows * ROW;
	fprintf(to,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" "
		"height=\"%.0f\" role=\"img\">\n%s"
		"<rect class=\"bg\" width=\"100%%\" height=\"100%%\" rx=\"8\"/>\n",
		WIDTH, height, WIDTH, height, style);
	draw_title(&p);
	draw_band(&p);
	draw_ticks(&p);
	for (unsigned i = 0; i < plot->panel_count; i++) {
		draw_head(&p, i);
		draw_bars(&p, i);
		draw_scale(&p, i);
		draw_marks(&p, i);
	}
	draw_list(&p, p.axis_y + 66);
	fputs("</svg>", to);
}
