"""Real data that comes inside packages, ready to use; nothing is downloaded."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

__all__ = ["Spans", "Split", "code_spans", "digits", "python_topics", "split", "wine"]


class Split(NamedTuple):
    """A data set in two parts, features `x` and whole-number labels `y`."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


class Spans(NamedTuple):
    """Windows of text with marked spans."""

    words: list[list[str]]
    marks: np.ndarray
    topic: np.ndarray


def split(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, test_share: float = 0.3
) -> Split:
    """Split a data set at random.

    Parameters
    ----------
    x : (n, ...)
        Features.
    y : (n,)
        Labels.
    rng
        Decides which examples go where.
    test_share
        Share of the examples that goes into the test part, rounded.

    Raises
    ------
    ValueError
        `x` and `y` differ in length, or one of the parts would be empty.
    """
    if len(x) != len(y):
        raise ValueError(f"x and y differ in length: {len(x)} and {len(y)}")
    num_test = round(test_share * len(x))
    if not 0 < num_test < len(x):
        raise ValueError(
            f"test_share = {test_share} of {len(x)} examples leaves a part empty"
        )
    order = rng.permutation(len(x))
    test, train = order[:num_test], order[num_test:]
    return Split(x[train], y[train], x[test], y[test])


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Optical digits: 1,797 images of 8 x 8 pixels in [0, 1], with labels 0 to 9.

    Returns
    -------
    images : (1797, 8, 8) float64
    labels : (1797,) int64

    Notes
    -----
    Alpaydin and Kaynak 1998, as scikit-learn ships it.

    >>> images, labels = digits()
    >>> images.shape, float(images.max()), labels[:5]
    ((1797, 8, 8), 1.0, array([0, 1, 2, 3, 4]))
    """
    bunch = _sklearn_datasets().load_digits()
    return bunch.images / 16.0, bunch.target.astype(np.int64)


def code_spans(width: int = 24) -> Spans:
    """Windows of the topics of Python's help, in which code words are to be found.

    Code words, which the text puts in double quotes, have lost them. Text is in lower
    case and split into words and signs; a window does not cross topics, and what does
    not fill one is dropped.

    Parameters
    ----------
    width
        Words and signs a window, at least 1.

    Returns
    -------
    words
        The windows, lists of `width` strings.
    marks : (windows, 2, width) bool
        Which words start (row 0) and which end (row 1) a code word; signs alone, such
        as ":", are none.
    topic : (windows,) int64
        From which topic a window comes, 0 to 78 or so.

    Raises
    ------
    ValueError
        `width` is below 1.

    Examples
    --------
    >>> spans = code_spans(24)
    >>> spans.words[0][:3], spans.marks[0, :, :3].astype(int)
    (['the', 'assert', 'statement'], array([[0, 1, 0], [0, 1, 0]]))
    """
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    windows, marks, topic = [], [], []
    for number, text in enumerate(python_topics().values()):
        words: list[str] = []
        ends: list[tuple[bool, bool]] = []
        # a quote without its partner does no harm beyond its paragraph
        for paragraph in text.lower().split("\n\n"):
            for code, plain in re.findall(r'"([^"]+)"|(\w+|[^\w\s])', paragraph):
                inner = re.findall(r"\w+|[^\w\s]", code or plain)
                is_code, last = bool(re.search("[a-z]", code)), len(inner) - 1
                words += inner
                ends += [
                    (is_code and place == 0, is_code and place == last)
                    for place in range(len(inner))
                ]
        for start in range(0, len(words) - width + 1, width):
            windows.append(words[start : start + width])
            marks.append(ends[start : start + width])
            topic.append(number)
    return Spans(windows, np.array(marks).transpose(0, 2, 1), np.array(topic))


def python_topics() -> dict[str, str]:
    """English prose with code words: the topics of Python's interactive help.

    Returns
    -------
    topics
        Maps a topic's name ("assert", "for", ...) to its text: chapters of the Python
        language reference in plain text. Code words stand in double quotes, inside
        paragraphs that are wrapped at 70 columns.

    Notes
    -----
    Part of Python itself (`pydoc_data.topics`): about 80 topics, half a million
    characters, which differ a little between versions.

    >>> python_topics()["assert"].splitlines()[0]
    'The "assert" statement'
    """
    from pydoc_data.topics import topics

    return dict(topics)


def wine() -> tuple[np.ndarray, np.ndarray]:
    """Chemical analyses of wines: 178 wines, 13 measurements, 3 growers.

    Returns
    -------
    measurements : (178, 13) float64, in the units of the source (not standardised)
    growers : (178,) int64

    Notes
    -----
    Forina et al. 1988, as scikit-learn ships it.

    >>> measurements, growers = wine()
    >>> measurements.shape
    (178, 13)
    """
    bunch = _sklearn_datasets().load_wine()
    return bunch.data, bunch.target.astype(np.int64)


def _sklearn_datasets():  # type: ignore[no-untyped-def]
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            "the data sets need the extra `book`: pip install 'kexue[book]'"
        ) from error
    return datasets
