"""A plug-in that needs a library which is not there."""

import a_library_that_nobody_has

METHOD = a_library_that_nobody_has.Method
