"""What is kept: results in a database, tables and arrays as files named by their content; and the care of both.

`store` is the way in; `database` knows the tables, `artefacts` the files, `upkeep` what is wrong or left over,
`transfer` the way from one store to another.
"""
