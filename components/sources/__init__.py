"""Files of a task to records: raw features by key, in parts that workers read one by one.

Each module implements `Source` of `components/protocols.py` on top of a reader in `components/formats`.
`idx` is the shortest and to be read first. `tsv` is the source of all TSV files: `tsv_layout` declares their
columns, `tsv_parser` makes records of rows, and `glue` holds the layouts of published data sets. `tables`
and `image_folders` are people's own texts and images. `squad` is questions about paragraphs, with their
answers mended. `volumes` is scans with masks: `volume_settings` is what can be set of them, `volume_layouts`
which files belong together, and `volume_cases` makes boxes of a case. `finding` is where all of them look
for their files, and what they say where those are not. `sentences` makes texts that are nobody's.
"""
