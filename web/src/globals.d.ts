/** The address of Tidemark's own mark, put in by the bundler. */
declare const MARK: string;
