package sink

import (
	"sallyport/internal/audit"
	"sallyport/internal/audit/ocsf"
)

// The formats of records.
const (
	FormatOwn  = "sallyport" // as they stand in the log
	FormatOCSF = "ocsf"
)

// AsItem is a record as it stands in the log.
func AsItem(line audit.Line) (Item, error) {
	rec, err := audit.Parse(line.Text)
	return Item{Seq: line.Seq, Time: line.Time, Log: line.Log, Text: line.Text, Event: rec.Event}, err
}

// AsOCSF is a record as an event of the Open Cybersecurity Schema Framework.
func AsOCSF(version string) func(audit.Line) (Item, error) {
	return func(line audit.Line) (Item, error) {
		rec, err := audit.Parse(line.Text)
		if err != nil {
			return Item{}, err
		}
		text, err := ocsf.Encode(rec, ocsf.Context{Version: version, Log: line.Log, Raw: line.Text})
		return Item{Seq: line.Seq, Time: line.Time, Log: line.Log, Text: text, Event: rec.Event}, err
	}
}

// AsCheckpoint is a checkpoint as it stands in its file: its signature covers what it says, so it has no other format.
func AsCheckpoint(line audit.Line) (Item, error) {
	return Item{Seq: line.Seq, Time: line.Time, Log: line.Log, Text: line.Text}, nil
}
