"""Leaves out what nbformat's validation imports for nothing.

jsonschema would build a parser of addresses in other alphabets at each start, which takes half as long as importing
torch; no notebook's schema asks for one, and jsonschema does without where it cannot be imported.
"""

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
