package config

import (
	"bytes"
	_ "embed" // the example
	"fmt"
	"reflect"

	"sallyport/internal/config/describe"
)

//go:generate go test -count=1 -run ^TestGeneratedPages$ -update .

//go:embed example.yaml
var example []byte

// Example returns the commented example that stands in the reference. It loads as it is.
func Example() []byte { return bytes.Clone(example) }

const referenceHead = `# Configuration

<!-- Generated from the declaration in internal/config. Do not edit. -->

Sallyport reads ` + "`sallyport.yaml`" + ` (` + "`--config FILE`" + `) and every ` + "`services.d/*.yaml`" +
	` beside it, which holds more ` + "`services`" + ` and
` + "`tokens`" + `. Never a secret stands in them: secrets are named by reference, ` +
	"`ref+<store>://<path>#<field>`" + `, and put into the
store with ` + "`sallyport secret set NAME`" + `.

- ` + "`sallyport config check`" + ` reports every error with file, line and column; ` + "`config show`" +
	` says where each value comes
  from; ` + "`config schema`" + ` prints the JSON Schema for editors (` + "`# yaml-language-server: $schema=…`" +
	` in the first line).
- [credentials.md](credentials.md) has a worked example of each kind of credential, [presets.md](presets.md) the APIs that ship.
- A changed file is taken up without restart. A file with an error changes nothing: the old configuration stays.
- File names are relative to the folder of the file they stand in; ` + "`<data>/`" + ` is the data directory.
- Durations are written as ` + "`500ms`, `30s`, `5m`, `24h`, `90d`, `1d12h`" + `; sizes as ` +
	"`512`, `64KiB`, `10MiB`, `2GiB`" + `; rates as
  ` + "`50/s`, `100/m`, `1000/h`" + `.
- Anchors, aliases and ` + "`<<`" + ` merges work within a file. Unknown and doubled keys are errors.

## Example

`

// Reference returns docs/configuration.md: every key with its type, default, meaning and example.
func Reference(kinds Kinds) []byte {
	var b bytes.Buffer
	b.WriteString(referenceHead)
	fmt.Fprintf(&b, "```yaml\n%s```\n", example)
	b.Write(describe.Reference(reflect.TypeFor[Config](), "The keys of `sallyport.yaml`.", kinds.familyOf))
	return b.Bytes()
}

// Schema returns the JSON Schema (draft 2020-12) of sallyport.yaml, for editors. It knows shapes, and which keys go
// with which kind; not what values say of each other: `sallyport config check` does.
func Schema(kinds Kinds) []byte {
	return describe.Schema("sallyport.yaml", reflect.TypeFor[Config](), families(), kinds.familyOf)
}
