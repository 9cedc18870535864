/* The job has failed, whatever came of the clean-up. */
function onError(job, cb) {
    cb('Error executing job');
}
