package database

// Session is somebody else who uses the database.
type Session struct {
	// Who names it for people: "pid 123 n8n@10.0.0.3 (idle, last query 12 s ago)".
	Who string
}
