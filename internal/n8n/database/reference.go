package database

import (
	"bytes"
	"fmt"
	"strings"
)

//go:generate go test -count=1 -run ^TestReferenceIsInSync$ -update .

const referenceHead = `# What n8n encrypts

<!-- Generated from internal/n8n/database. Do not edit. -->

Every place in n8n's database that holds values under the master key (` + "`N8N_ENCRYPTION_KEY`" +
	`), or under a data key that the master key
wraps: what ` + "`sallyport key verify`" + ` and ` + "`sallyport key rekey`" +
	` work from. Read in the code of n8n 2.41.1 and 1.123.81. Names come
without ` + "`DB_TABLE_PREFIX`" + `; files are below ` + "`n8n/dist`" +
	` of 2.41.1, other packages apart, and elsewhere in 1.x.

| place | how the values lie in it | what they say | since | written by |
| --- | --- | --- | --- | --- |
`

const referenceTail = `| ` + "`deployment_key.value`" +
	` | the whole cell | data keys, signing secrets | 2.20 | @n8n/db: repositories/deployment-key.repository.js |

Execution data that n8n keeps in files or object storage, cookies, cached entries and exported files are not in the database, and
hold such values too. Everything else that looks like ciphertext of n8n's is a stray: a re-key looks for it in every text column, and
names it.
`

// Reference returns docs/n8n-encrypted.md.
func Reference() []byte {
	var b bytes.Buffer
	b.WriteString(referenceHead)
	for _, p := range Inventory() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", p, p.layout(), p.Plain, p.Since, p.WrittenBy)
	}
	b.WriteString(referenceTail)
	return b.Bytes()
}

// layout says it with the keys that the place's own name does not have.
func (p Location) layout() string {
	if p.Layout != Flatted {
		return string(p.Layout)
	}
	keys := make([]string, 0, len(p.Paths)+len(p.Anywhere))
	for _, path := range p.Paths {
		keys = append(keys, "`"+path+"`")
	}
	for _, k := range p.Anywhere {
		text := "any `" + k.Key + "`"
		if k.Beside != "" {
			text += " beside `" + k.Beside + "`"
		}
		keys = append(keys, text)
	}
	return string(p.Layout) + ": " + strings.Join(keys, ", ")
}
