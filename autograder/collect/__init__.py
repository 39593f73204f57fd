"""From what a learning platform exports to submitted/<student>/<unit>/, in steps that know nothing of each other:

names       what may be the name of a folder or file, and what is no submission at all
archive     the files of a folder or zip, and of the zips in it
shapes      whose file is it, by the rules of each platform, or by folders
roster      which folder is this person's, in this unit and in the next
choose      which of a person's files is the unit's notebook
collecting  all of it
"""

from .collecting import Collected, collect
from .names import safe_name
from .roster import ROSTER, read_roster

__all__ = ["ROSTER", "Collected", "collect", "read_roster", "safe_name"]
