"""Kexue: the tested code behind an executable book of machine-learning mathematics.

Every article of the book has one module, `kexue.PART.SLUG`. What several articles
share stands beside the parts: `kexue.randomness`, `kexue.datasets`, `kexue.training`,
`kexue.plotting`, and `kexue.claims` for pages and tests.
"""

from importlib.metadata import version

__version__ = version("kexue")
