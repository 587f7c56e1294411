// Package declare reads what structs declare of a configuration by their tags: the keys, what values they take, and the
// kinds that a struct can be of.
//
// What reads the declaration is elsewhere: decode, describe, and the defaults and checks of package config. The tags:
//
//	yaml     the key
//	doc      one sentence for the reference and the editor
//	default  the value when the key is absent, written as in YAML; lists are separated by commas
//	eg       an example, where the default does not show the form
//	enum     the allowed values, separated by blanks
//	later    on a blank field: a key, or on an enum: values, that only a later version knows
//	path     the value is a file name: relative to the folder of the file it stands in, <data>/ is the data directory
//	keys     "name": the keys of a map are names of our own; "header": they are header names; "text": anything
//	url      "proxy": the URL is that of a proxy
//	lines    "true": the value may have line breaks
//	free     "true": any text, in which a secret may stand by mistake: what looks like one is not shown
//	min      the least value of a number, size or duration
//	max      the greatest
//	(none)   on an embedded struct: its keys stand among those of the struct around it
//	of       "kind": on a field without a key: the keys that go with one kind alone, which the key kind names
//	needed   the key has to be there; what to write
//	meant    keys of other kinds, separated by blanks, by which people mean this one
//	inputs   "url": inputs stand in the text, and a path is one on the upstream's host; "plain": inputs that are no
//	         secret stand in it; "around": they stand around its {secret}
//	yields   keys of the same kind, separated by blanks: where a service sets one of them, a preset does not set this
//	         one; KEY:TEXT only counts if what the service sets begins with TEXT
//	backend  "same": with another value it is the same store all the same, entered otherwise
package declare
