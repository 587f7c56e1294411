module sallyport/e2e

go 1.26
