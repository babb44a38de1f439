"""Counts, and what is missing among them, in words for a person."""


def counted(count: float, noun: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "click"), counted(1200.0, "click")
    ('1 click', '1,200 clicks')
    """
    return f"{count:,.0f} {noun}{'' if count == 1 else 's'}"


def one_class_reason(rows: float, positives: float, row: str, positive: str) -> str | None:
    """Say why rows of one class decide nothing; None when both classes are there.

    Args:
        row: what is counted, in the singular, such as "impression".
        positive: what it may become, such as "click".

    >>> one_class_reason(40, 0, "click", "conversion")
    'no conversion among 40 clicks'
    >>> one_class_reason(1, 1, "click", "conversion"), one_class_reason(9, 2, "click", "conversion")
    ('a conversion at each of 1 click', None)
    >>> one_class_reason(0, 0, "click", "conversion")
    'no click'
    """
    if not rows:
        return f"no {row}"
    if not positives:
        return f"no {positive} among {counted(rows, row)}"
    return f"a {positive} at each of {counted(rows, row)}" if positives >= rows else None


def gap_verdict(low: float | None, high: float | None, *, lower_is_better: bool = False) -> str | None:
    """Say what the interval of a gap decides: what the first of two has and the other lacks helps, or not.

    Returns:
        `helps` or `hurts` where the whole interval lies on one side of 0, else `within the noise`; None without one.

    >>> gap_verdict(0.001, 0.004), gap_verdict(0.001, 0.004, lower_is_better=True), gap_verdict(-0.001, 0.004)
    ('helps', 'hurts', 'within the noise')
    """
    if low is None or high is None:
        return None
    if low <= 0 <= high:
        return "within the noise"
    return "helps" if (low > 0) != lower_is_better else "hurts"
