"""What is made of the figures of several rounds: medians, ratios round by round, and their text."""
import statistics


def median(values):
    """The median of what there is; None if there is nothing."""
    there = [v for v in values if v is not None]
    return statistics.median(there) if there else None


def ratios(ours, theirs):
    """Ours by theirs in each round in which both were measured: neighbours disturb both alike."""
    return [a / b for a, b in zip(ours, theirs) if a is not None and b]


def ratio(ours, theirs):
    """(median, least, most) of the ratios, or None."""
    all_of_them = ratios(ours, theirs)
    if not all_of_them:
        return None
    return median(all_of_them), min(all_of_them), max(all_of_them)


def of(rounds, key):
    """One figure of every round; None where it is missing."""
    return [one.get(key) if one else None for one in rounds]


def number(value, unit=1, digits=2):
    return "-" if value is None else "%.*f" % (digits, value / unit)


def rate(value):
    """Requests per second, in the unit that leaves three digits."""
    if value is None:
        return "-"
    return "%.2f M" % (value / 1e6) if value >= 1e6 else "%.0f k" % (value / 1e3) \
        if value >= 1e5 else "%.1f k" % (value / 1e3)


def ratio_text(found):
    return "-" if found is None else "%.2f (%.2f to %.2f)" % found


def verdict(value, bound, at_least=True):
    """Whether an aim is reached; an empty word where there is no aim or no figure."""
    if bound is None or value is None:
        return ""
    met = value >= bound if at_least else value <= bound
    return "%s %g: %s" % ("≥" if at_least else "≤", bound, "met" if met else "**missed**")
