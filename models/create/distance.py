"""How far two texts are from each other."""

from __future__ import annotations

from collections import defaultdict


def levenshtein(a: str, b: str) -> int:
    """Characters to insert, delete or replace to make one of the other.

    A column of the usual table is two integers, the rises and falls of its neighbours, so that a character of `b` costs
    a dozen operations on numbers of `len(a)` bits. Source: Hyyrö, "A bit-vector algorithm for computing Levenshtein and
    Damerau edit distances", 2003.
    """
    if not a:
        return len(b)
    places: defaultdict[str, int] = defaultdict(int)
    for i, character in enumerate(a):
        places[character] |= 1 << i
    mask, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    rises, falls, distance = mask, 0, len(a)
    for character in b:
        equal = places.get(character, 0)
        diagonal = (((equal & rises) + rises) ^ rises) | equal | falls
        across_rises = falls | (mask & ~(diagonal | rises))
        across_falls = rises & diagonal
        distance += bool(across_rises & last) - bool(across_falls & last)
        across_rises = (across_rises << 1 | 1) & mask
        across_falls = (across_falls << 1) & mask
        rises = across_falls | (mask & ~(diagonal | across_rises))
        falls = across_rises & diagonal
    return distance
