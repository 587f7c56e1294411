package audit

// Wrote has do called whenever the kernel has been given records, before anybody is told.
func (o *Options) Wrote(do func()) { o.wrote = do }
